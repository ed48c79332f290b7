"""Workers on a cluster: their guard, their heartbeats, and what lost ones leave behind."""
