"""A trained network, made ready to be quick where it runs: nothing is learnt here."""
