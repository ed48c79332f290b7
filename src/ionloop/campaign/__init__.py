"""One generation, and generations until judged converged."""
