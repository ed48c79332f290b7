"""A database with thousands of documents, and what its server says of each query (profiler)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from pymongo import MongoClient
from pymongo.database import Database

#: Collections that grow with campaigns, jobs or labels.
GROWING = ("fireworks", "launches", "workflows", "outputs", "outputs_blobs.files",
           "outputs_blobs.chunks", "jf_jobs", "jf_flows")  # fmt: skip
#: States that the jobs of other campaigns are in: each a tenth of them, the rest has COMPLETED.
OTHER_STATES = ("READY", "WAITING", "RUNNING", "FIZZLED", "PAUSED")
REMOTE_STATES = ("READY", "WAITING", "RUNNING", "FAILED", "PAUSED")
#: Kinds of workers that the copies' jobs want, in turn.
KINDS = ("dft", "gpu", "light")
#: Keys by which documents know one another, and those that no two may share.
_IDS = ("fw_id", "launch_id")
_OPS = frozenset({"query", "command", "update", "remove", "getmore"})


def multiply(db: Database, n: int) -> None:
    """Copy what one campaign left until each growing collection has n documents and more.

    Copies belong to other campaigns: they have ids of their own, and their jobs all states.
    """
    templates = {name: list(db[name].find()) for name in GROWING}
    for name, found in templates.items():
        assert found, f"{name} has no document to copy"
        wanted = n - len(found)
        copies = -(-wanted // len(found))
        made = [_renamed(doc, k) for k in range(1, copies + 1) for doc in found]
        db[name].insert_many(made, ordered=False)
    for k, state in enumerate(OTHER_STATES):
        for name in ("fireworks", "launches"):
            db[name].update_many({"copy": {"$mod": [10, k]}}, {"$set": {"state": state}})
        remote = {"$set": {"state": REMOTE_STATES[k]}}
        db["jf_jobs"].update_many({"copy": {"$mod": [10, k]}}, remote)
    for k, kind in enumerate(KINDS):
        each = {"copy": {"$mod": [len(KINDS), k]}}
        db["fireworks"].update_many(each, {"$set": {"spec.worker": kind}})
    for name in GROWING:
        assert db[name].count_documents({}) >= n, name


def _renamed(doc: dict[str, Any], k: int) -> dict[str, Any]:
    """Copy a document for the k-th other campaign."""
    shift = k * 10_000
    new = copy.deepcopy(doc)
    new.pop("_id")
    new["copy"] = k
    for key in _IDS:
        if key in new:
            new[key] += shift
    for key in ("nodes", "launches", "archived_launches"):
        if key in new:
            new[key] = [i + shift for i in new[key]]
    if "links" in new:
        new["links"] = _shifted(new["links"], shift)
        new["fw_states"] = {str(int(i) + shift): s for i, s in new["fw_states"].items()}
    job, remote = new.get("job", {}), "db_id" in new or "ids" in new
    parts = [new, new.get("spec", {}), new.get("metadata", {}), job, job.get("metadata", {})]
    for part in parts:
        if "campaign_id" in part:
            part["campaign_id"] = f"{'remote' if remote else 'other'}-{k}"
        for key in {"uuid", "db_id", "files_id", "blob_uuid", "job_uuid"} & part.keys():
            part[key] = f"{part[key]}-{k}"
    for task in new.get("spec", {}).get("_tasks", []):
        task["job"]["uuid"] = f"{task['job']['uuid']}-{k}"
    return new | _flow_parts(new, k)


def _flow_parts(doc: dict[str, Any], k: int) -> dict[str, Any]:
    """Say which jobs a copied flow of jobflow-remote has; nothing of other documents."""
    ids = [[f"{db_id}-{k}", f"{uuid}-{k}", index] for db_id, uuid, index in doc.get("ids", [])]
    return {"ids": ids, "jobs": [uuid for _, uuid, _ in ids]} if ids else {}


def _shifted(links: dict[str, list[int]], shift: int) -> dict[str, list[int]]:
    return {str(int(i) + shift): [j + shift for j in js] for i, js in links.items()}


class Profiler:
    """Everything that a server is asked of one database while this is on, by whichever process."""

    def __init__(self, uri: str, name: str) -> None:
        self.client: MongoClient = MongoClient(uri)
        self.db = self.client[name]

    def __enter__(self) -> Self:
        self.db.drop_collection("system.profile")
        self.db.create_collection("system.profile", capped=True, size=256 * 2**20)
        self.db.command("profile", 2)
        return self

    def __exit__(self, *_: object) -> None:
        self.db.command("profile", 0)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Return what was asked or written, the first first, but no commands without collection."""
        for entry in self.db["system.profile"].find({}).sort("$natural", 1):
            place = entry["ns"].partition(".")[2]
            if place not in ("system.profile", "$cmd", ""):
                yield entry


@dataclass(frozen=True)
class Asked:
    """One kind of question: the collection, the command, the keys of filter and sort."""

    collection: str
    command: str
    shape: str

    def __str__(self) -> str:
        return f"{self.collection} {self.command} {self.shape}"


@dataclass
class Cost:
    """What a kind of question costs at worst."""

    n: int = 0
    plans: set[str] = field(default_factory=set)
    examined: int = 0
    returned: int = 0
    keys: int = 0
    sorts: bool = False

    def add(self, entry: dict[str, Any]) -> None:
        """Take one question in."""
        self.n += 1
        self.plans.add(entry.get("planSummary", "none"))
        examined = entry.get("docsExamined", 0)
        returned = max(entry.get(key, 0) for key in ("nreturned", "nMatched", "ndeleted"))
        if examined * max(self.returned, 1) >= self.examined * max(returned, 1):
            self.examined, self.returned = examined, returned
        self.keys = max(self.keys, entry.get("keysExamined", 0))
        self.sorts = self.sorts or entry.get("hasSortStage", False)

    @property
    def scans(self) -> bool:
        """Whether it read a collection from one end to the other."""
        return any("COLLSCAN" in plan for plan in self.plans)

    @property
    def wasteful(self) -> bool:
        """Whether it read more than ten documents for each that it returned."""
        return self.examined > 10 * max(self.returned, 1)

    def __str__(self) -> str:
        return (
            f"{self.n} times, {' / '.join(sorted(self.plans))}, examined {self.examined} for "
            f"{self.returned}, at most {self.keys} keys{', sorted in memory' if self.sorts else ''}"
        )


def ask(entry: dict[str, Any]) -> Asked:
    """Say what kind of question an entry is."""
    command = entry.get("originatingCommand", entry["command"])
    name = next(iter(command)) if entry["op"] in ("command", "query", "getmore") else entry["op"]
    query = command.get("filter", command.get("query", command.get("q")))
    if query is None and "pipeline" in command:
        query = command["pipeline"][0].get("$match", {})
    sort = command.get("sort", {})
    keys = ", ".join(_keys(query or {}))
    limit = " limit 1" if command.get("limit") == 1 else ""
    shape = "{" + keys + "}" + (f" by {list(sort)}" if sort else "") + limit
    return Asked(entry["ns"].partition(".")[2], name, shape)


def _keys(query: dict[str, Any]) -> list[str]:
    """List the keys of a filter, with the operators that decide whether an index serves."""
    found = []
    for key, value in query.items():
        operators = [o for o in value if o.startswith("$")] if isinstance(value, dict) else []
        found.append(key + "".join(f" {o}" for o in operators))
    return sorted(found)


def used_indexes(db: Database, collections: Iterable[str]) -> set[str]:
    """Return the indexes that the server has ever used, as ``collection.name``."""
    return {
        f"{name}.{one['name']}"
        for name in collections
        for one in db[name].aggregate([{"$indexStats": {}}])
        if one["accesses"]["ops"]
    }


def undurable(entry: dict[str, Any]) -> bool:
    """Whether a write might be lost, or a read see what might be taken back.

    The profiler doesn't say it of updates and removals: see :func:`undurable_writes`.
    """
    command, written = next(iter(entry["command"])), entry.get("writeConcern") or {}
    if command in ("insert", "findAndModify"):
        return (written.get("w"), written.get("j")) != ("majority", True)
    if command in ("find", "aggregate", "distinct", "count"):
        return (entry.get("readConcern") or {}).get("level") != "majority"
    return False


def undurable_writes(client: MongoClient) -> dict[str, int]:
    """Count all writes of a server since it began that weren't asked of the majority.

    Such a write is in the journal of most members, unless a server was told otherwise: MongoDB's
    ``writeConcernMajorityJournalDefault``.
    """
    told = client.admin.command("serverStatus")["opWriteConcernCounters"]
    return {
        kind: told[kind]["none"] + sum(told[kind]["wnum"].values())
        for kind in ("insert", "update", "delete")
    }


def table(entries: Iterable[dict[str, Any]]) -> dict[Asked, Cost]:
    """Put questions of one kind together; what is no question is left out."""
    found: dict[Asked, Cost] = {}
    for entry in entries:
        if entry["op"] in _OPS:
            found.setdefault(ask(entry), Cost()).add(entry)
    return found
