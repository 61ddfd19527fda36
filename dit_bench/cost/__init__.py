"""What a network costs: closed-form MACs, audits of them against counters, measured time."""
