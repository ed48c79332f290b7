"""Ways to choose labels, compared at equal labels against a reference whose answer is known."""
