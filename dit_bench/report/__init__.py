"""Tables, verdicts and figures made from finished runs; never imports torch."""
