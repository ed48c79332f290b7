"""The same settings, other ones, or nothing that proves it."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.reference.importers.compare import Stated, compare, merge

CELL = 10.0 * np.eye(3)
STATED = {
    "code": "vasp",
    "version": "6.4.2",
    "functional": "PBE",
    "incar": {"ENCUT": 520.0, "LREAL": False, "PREC": "accurate", "ISPIN": 1},
    "potcars": {"Li": {"symbol": "Li_sv", "title": "PAW_PBE Li_sv 10Sep2004"}},
    "k_points": {"spacing": 0.3, "mesh": None, "shift": "none"},
}
#: A reference's own, which knows more and says how it runs.
EXPECTED = {
    "code": "vasp",
    "version": "6.4",
    "functional": "PBE",
    "incar": {
        "ENCUT": 520, "LREAL": False, "PREC": "Accurate", "ISPIN": 1,
        "ALGO": "normal", "NSW": 0, "GGA": "pe", "LWAVE": False, "IVDW": 0,
    },
    "potcars": {
        "Li": {"symbol": "Li_sv", "sha256": "1234"}, "Cl": {"symbol": "Cl", "sha256": "5678"},
    },
    "potcar_set": "PBE_54",
    "k_points": {"spacing": 0.3, "mesh": None},
}  # fmt: skip


def stated(mesh=(3, 3, 3), unknown=(), **changes) -> Stated:
    return Stated({**STATED, **changes}, unknown, mesh, CELL)


def test_what_the_file_says_is_the_same_and_the_rest_unproven():
    found = compare(EXPECTED, stated())
    assert (found.differing, found.unproven) == ([], ["potcars.Li.sha256"])
    assert compare(STATED, stated()) == compare(STATED, stated(unknown=["other"]))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "6.3.0"}, "version: expected 6.4.2, got 6.3.0"),
        ({"version": "6.4"}, None),
        ({"version": "6.4.21"}, "version: expected 6.4.2, got 6.4.21"),
        ({"functional": "PBEsol"}, "functional: expected PBE, got PBEsol"),
        ({"functional": "pbe"}, None),
        ({"incar": {**STATED["incar"], "ENCUT": 400.0}}, "incar.ENCUT: expected 520.0, got 400.0"),
        ({"incar": {**STATED["incar"], "ENCUT": 520}}, None),
        ({"incar": {**STATED["incar"], "ENCUT": "5.2e2"}}, None),
        ({"incar": {**STATED["incar"], "LREAL": "auto"}}, "incar.LREAL: expected False, got auto"),
        ({"incar": {**STATED["incar"], "IVDW": 11}}, "incar.IVDW: expected nothing, got 11"),
        ({"incar": {**STATED["incar"], "NSW": 99}}, None),
        ({"potcars": {"O": {"symbol": "O", "title": "PAW_PBE O 08Apr2002"}}}, None),
    ],
)
def test_a_key_that_differs_is_named(changes, told):
    found = compare(STATED, stated(**changes))
    assert found.differing == ([told] if told else [])
    assert found.unproven == []


def test_what_a_file_could_say_and_doesnt_is_unproven():
    expected = {**STATED, "incar": {**STATED["incar"], "IVDW": 11}}
    assert compare(expected, stated()).differing == ["incar.IVDW: expected 11, got nothing"]
    silent = stated(unknown=["incar.IVDW"])
    assert (compare(expected, silent).differing, compare(expected, silent).unproven) == (
        [], ["incar.IVDW"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tag", "expected", "got", "same"),
    [
        # A reference writes a tag at its default, the file doesn't; and the other way round.
        ("NUPDOWN", -1, None, True),
        ("NUPDOWN", 0, None, False),
        ("NUPDOWN", None, 0, False),
        ("VDW_S8", None, 0, False),
        ("LDIPOL", False, None, True),
        ("LDIPOL", None, True, False),
        ("NSIM", 4, None, True),
        ("DIPOL", [0.5, 0.5, 0.25], "0.5 0.5 0.25", True),
        ("DIPOL", [0.5, 0.5, 0.25], [0.5, 0.5, 0.5], False),
        ("DIPOL", [0.5, 0.5], [0.5, 0.5, 0.5], False),
        ("PRECFOCK", "Fast", "fast", True),
    ],
)
def test_tags_that_nobody_interprets(tag, expected, got, same):
    one, other = ({**STATED["incar"], tag: value} for value in (expected, got))
    here, there = ({k: v for k, v in tags.items() if v is not None} for tags in (one, other))
    found = compare({**STATED, "incar": here}, stated(incar=there))
    assert ([line.split(":")[0] for line in found.differing], found.unproven) == (
        [] if same else [f"incar.{tag}"], [],
    )  # fmt: skip


def test_a_tag_that_a_silent_file_may_have_is_unproven():
    expected = {**STATED, "incar": {**STATED["incar"], "NUPDOWN": 4}}
    found = compare(expected, stated(unknown=["incar.*"]))
    assert (found.differing, found.unproven) == ([], ["incar.NUPDOWN"])


@pytest.mark.parametrize(
    ("got", "told"),
    [
        ("diagonalization", []),
        ("diagonalization, Pulay mixing", []),
        (
            "orbital transformation",
            [
                "solver: expected diagonalization, Broyden mixing, got orbital transformation",
            ],
        ),
    ],
)
def test_solvers_differ_and_mixing_doesnt(got, told):
    expected = {"code": "cp2k", "solver": "diagonalization, Broyden mixing"}
    assert compare(expected, Stated({"code": "cp2k", "solver": got})).differing == told


PARITY = {"spacing": 0.4, "mesh": None, "shift": "parity"}


def mesh(*n: int, shift: float = 0.0) -> dict:
    return {"spacing": None, "mesh": list(n), "shift": [shift] * 3}


@pytest.mark.parametrize(
    ("expected", "got", "used", "same"),
    [
        # A mesh for all cells, as a campaign has it.
        ({"spacing": 0.5, "mesh": [3, 3, 3]}, STATED["k_points"], (3, 3, 3), True),
        ({"spacing": 0.3, "mesh": [2, 2, 2]}, STATED["k_points"], (3, 3, 3), False),
        (mesh(2, 2, 2), mesh(2, 2, 2, shift=0.5), (2, 2, 2), False),
        # A spacing; 2 pi / 10 Å / 0.3 is 2.09.
        (STATED["k_points"], {"spacing": 0.25, "mesh": None, "shift": "none"}, (3, 3, 3), False),
        (STATED["k_points"], mesh(3, 3, 3), (3, 3, 3), True),
        (STATED["k_points"], mesh(2, 2, 2), (2, 2, 2), False),
        (
            {"spacing": 0.4, "mesh": None, "shift": "parity"},
            mesh(2, 2, 2, shift=0.5),
            (2,) * 3,
            True,
        ),
        ({"points": [[0.1, 0, 0]]}, {"points": [[0.1, 0, 0]]}, None, True),
        ({"points": [[0.1, 0, 0]]}, mesh(1, 1, 1), (1, 1, 1), False),
    ],
)
def test_k_points(expected, got, used, same):
    found = compare({**STATED, "k_points": expected}, stated(mesh=used, k_points=got))
    assert (found.differing == [], found.unproven) == (same, [])


def test_a_family_of_basis_sets_has_its_kinds_already():
    cl = {"basis": "DZVP-MOLOPT-SR-GTH-q7", "potential": "GTH-PBE-q7"}
    own = {"code": "cp2k", "kinds": {}, "basis_family": "DZVP-MOLOPT-SR-GTH"}
    own["potential_family"] = "GTH-PBE"
    assert merge(own, {"kinds": {"Cl": cl}}) == own
    for kind, same in (
        (cl, True),
        ({**cl, "basis": "DZVP-MOLOPT-SR-GTH"}, True),  # its other name
        ({**cl, "basis": "DZVP-MOLOPT-GTH"}, False),
        ({**cl, "potential": "GTH-PADE-q7"}, False),
    ):
        found = compare(own, Stated({"code": "cp2k", "kinds": {"Cl": kind}}))
        assert (found.differing == []) == same


def test_later_elements_join_the_table():
    other = {**STATED, "potcars": {"O": {"symbol": "O"}, "Li": {"symbol": "not taken"}}}
    merged = merge(STATED, other)
    assert merged["potcars"] == {"O": {"symbol": "O"}, **STATED["potcars"]}
    assert "O" not in STATED["potcars"]
