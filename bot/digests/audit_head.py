"""The head of the audit log in full, beside the one before: a rewritten log shows here."""

from __future__ import annotations

from bot.digests._kit import Ask, Section
from bot.domain.digests import Part, count, on_day, t, text
from bot.ledger import digests


async def read(ask: Ask) -> Part:
    seq, head = ask.head
    foot = [t("Audit log, entry {seq}: {hash}", seq=count(seq), hash=text(head))]
    lines = []
    if ask.kept is None:
        foot.append(t("No earlier digest has told a head."))
    else:
        values = {
            "day": on_day(ask.kept.day),
            "seq": count(ask.kept.seq),
            "hash": text(ask.kept.hash),
        }
        foot.append(t("Digest of {day}, entry {seq}: {hash}", **values))
        if await digests.read_hash_at(ask.conn, ask.kept.seq) != ask.kept.hash:
            lines.append(
                t(
                    "The audit log no longer holds what the digest of {day} told: it was rewritten or cut. "
                    "Run `mimawari audit verify` and compare with that digest.",
                    day=values["day"],
                )
            )
    return Part(lines=tuple(lines), foot=tuple(foot))


SECTION = Section(name="audit_head", order=90, title=None, read=read)
