"""Commands that change a campaign while it lives: pause, cancel, rerun."""
