"""Networks for dense prediction: a backbone with four maps, and what every neck and head over them shares."""
