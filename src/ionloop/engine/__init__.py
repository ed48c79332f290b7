"""FireWorks on a laptop as on a cluster: load, submit, run and resume campaigns."""

from ionloop.engine.flows import campaign_id_of, load_flow, parse_parameters, submit
from ionloop.engine.local import resume, run_local

__all__ = [
    "campaign_id_of",
    "load_flow",
    "parse_parameters",
    "resume",
    "run_local",
    "submit",
]
