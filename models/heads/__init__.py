"""How each label is learnt: one kind of head a module, chosen in `choosing`."""
