"""Workers that outlive their launcher, as where the kernel can't end them with it (macOS)."""

import ionloop.processes

ionloop.processes.die_with_parent = lambda *_: None
