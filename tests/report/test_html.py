"""One file, no network, the judge's words in it, and true to the state of the campaign."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from made_record import make_ledger

from ionloop.evaluate.endings import doubt
from ionloop.evaluate.schema import Estimate
from ionloop.report.html import render, write_report
from ionloop.report.outcome import outcome, verdict


class Page(HTMLParser):
    """Collects links, tags and the text outside scripts and styles."""

    VOID = ("meta", "link", "br", "img", "hr", "input")

    def __init__(self, html):
        super().__init__()
        self.links, self.tags, self.text, self.open = [], [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


@pytest.fixture
def page(record):
    return Page(render(record))


def test_the_file_is_whole_and_links_to_nothing(record, page, tmp_path):
    path = write_report(record, tmp_path / "new" / "report.html")
    html = path.read_text(encoding="utf-8")
    assert path == tmp_path / "new" / "report.html"
    assert page.links == []
    assert page.open == []
    assert "@import" not in html
    assert not re.search(r"url\(\s*['\"]?https?:", html.split("</style>")[0])
    assert html.count("plotly.js v") == 1


def test_every_part_is_there(page):
    for words in (
        "Converged after 3 generations and 96 labels.",
        "barrier 319 meV by the model, 332 meV by the reference",
        "Generation 0: go on",
        "barriers changed by 60 meV, more than 10 meV",
        "barriers changed by 8 meV, within 10 meV",
        "3.1 effective hops, expected 5 or more",
        "closest contact 1.1 Å below 1.3 Å",
        "5e771f6a5e771f6a",
        "1234",
        "mace-torch",
        "hidden_irreps",
        "buck/coul/long 7.0",
        "LAMMPS 2 Apr 2025",
        "median wall time",
        "Quarantined labels: 2 (force 41.2 eV/Å above the ceiling",
        "/scratch/label",
        "hop 12 60 71 (62 to 79) 1.31 errors are larger than the committee says",
        "random 1 5 100 1.31",
        "2 ions: <b> + a 251 0 1 yes yes, 0.08 Å away since generation 0, moved by -12 meV",
        "12 events quenched in all generations: 2 joined two minima, 6 fell back into one,",
    ):
        assert words.lower() in page.text.lower(), words


def test_all_figures_are_drawn(record):
    html = render(record)
    found = set(re.findall(r'id="figure-([a-z_]+)"', html))
    assert found == {
        "learning", "bands", "arrhenius", "msd", "hop_errors", "parity", "calibration", "progress",
    }  # fmt: skip


def test_words_of_documents_are_escaped(record, page):
    assert "<script>alert(1)</script>" not in render(record)
    assert "<script>alert(1)</script>" in page.text


def test_figures_escape_what_could_close_their_script(record):
    for band_set in record.band_sets:
        for band in band_set.bands:
            band.path_class = "</script><b>"
    assert Page(render(record)).open == []
    assert "b" not in Page(render(record)).tags


def test_an_unfinished_campaign_says_what_is_missing(unfinished):
    page = Page(render(unfinished))
    assert "Not converged after 1 generation and 36 labels; another generation follows." in (
        page.text
    )
    assert "No Arrhenius plot: the campaign hasn't been evaluated yet." in page.text
    assert "212 ± 40" in page.text


def test_labels_that_were_taken_back_are_said_to_be(record):
    assert "readmitted by hand:" not in Page(render(record)).text
    for shard in record.shards:
        shard.quarantined, shard.n_quarantined, shard.reasons = [], 0, {}
    assert "Quarantined labels:" not in Page(render(record)).text
    record.shards[0].n_readmitted = 2
    assert "Labels readmitted by hand: 2." in Page(render(record)).text


def test_a_campaign_that_only_started_has_a_report(newborn):
    page = Page(render(newborn))
    assert "No verdict yet" in page.text
    assert "Not known before a second generation is labelled." in page.text
    assert "No bands" in page.text
    assert page.open == []


def test_the_ledger_is_a_section(record):
    page = Page(render(record, make_ledger()))
    assert page.open == []
    assert page.links == []
    # jobs, attempts, wall time, core time, share, lost attempts and core time
    assert "labels 2 2 8 h 32 h 80% 1 4 h" in page.text
    assert "train 1 1 2 h 8 h 20%" in page.text
    for words in (
        "Labels: 64 (40 hop, 24 saddle), 0 quarantined, 0 imported.",
        "A label cost 30 core-min.",
        "The reference took 80% of all core-hours.",
        "Lost attempts: 1 failed; 1 h of wall time.",
        "Speed-up over DFT of one MACE model: 1.6e+03, core-seconds",
        "What isn't known.",
    ):
        assert words in page.text, words
    assert "without the campaign's ledger: ionloop ledger" in Page(render(record)).text


def test_stopping_is_not_convergence(record):
    record.advances[-1].judgement.converged = False
    state, sentence = verdict(record)
    assert state == "stopped"
    assert sentence == "Stopped without converging after 3 generations and 96 labels."


def test_reasons_against_an_energy_reach_the_top(record):
    energy = record.evaluation.model_transport.activation_energy
    energy.admissible, energy.reason = False, "uses weak points"
    assert any("not admissible by itself: uses weak points" in s for s in outcome(record))
    energy.value = energy.error = None
    energy.reason = "D has a number at 1 of 3 temperatures"
    assert any("none, because D has a number at 1 of 3" in s for s in outcome(record))
    record.evaluation.reference_transport = None
    assert any("by the reference: not computed" in s for s in outcome(record))


def test_errors_of_energies_and_quartiles_of_times_are_shown(record):
    text = Page(render(record)).text
    found = record.evaluation.accuracy
    assert f"Energies as they are: RMSE {1000 * found.energy_rmse:.3g} (" in text
    assert f"MAE {1000 * found.energy_mae:.3g} meV/atom" in text
    assert "48 ms to 61 ms" in text
    found.energy_rmse = found.energy_mae = found.energy_rmse_shifted = found.stress = None
    found.energies = found.stresses = []
    assert "no held-out cell is neutral." in Page(render(record)).text


def test_reasons_against_a_hop_energy_are_in_table_and_at_the_top(record):
    why = "1 of 3 runs ended early (at 1500 K: too hot)"
    transport = record.evaluation.model_transport
    transport.hop_activation_energy = Estimate(
        value=0.3, error=0.1, unit="eV", estimator="Poisson", admissible=True
    )
    assert any("0.30 ± 0.10 eV, from 0 hops." in s for s in outcome(record))
    transport.hop_activation_energy = doubt(transport.hop_activation_energy, why)
    assert any(f"from 0 hops (not admissible: {why})." in s for s in outcome(record))
    assert Page(render(record)).text.count(why) == 2


@pytest.mark.parametrize("whose", ["model", "reference"])
def test_a_barrier_of_an_unconverged_band_is_doubted_at_the_top(record, whose):
    assert "not admissible" not in outcome(record)[0]
    for pair in record.evaluation.barriers:
        setattr(pair, f"{whose}_converged", False)
    found = outcome(record)[0]
    assert found.startswith("Easiest hop: barrier 319 meV by the model, 332 meV by the reference")
    assert found.endswith(f"(not admissible: the {whose}'s band didn't converge).")
