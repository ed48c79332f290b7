"""Run the stand-in in the working folder."""

from ionloop.testing.vasp_std.runs import main

if __name__ == "__main__":
    main()
