"""What a database grants to everybody (PUBLIC) that it should not: rights that no role had to ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SHOWN = 5

# What stands first matters most: somebody could write, then read, then disturb.
_FIND = """
WITH mine AS (SELECT oid, nspname FROM pg_namespace
               WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
SELECT kind, name, rights FROM (
    SELECT 1 AS rank, 'relation' AS kind, format('%I.%I', n.nspname, c.relname) AS name,
           array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type) AS rights
      FROM pg_class c JOIN mine n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
     WHERE a.grantee = 0 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') GROUP BY 3
    UNION ALL
    SELECT 2, 'schema', quote_ident(n.nspname), ARRAY['CREATE']
      FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
     WHERE a.grantee = 0 AND a.privilege_type = 'CREATE'
    UNION ALL
    SELECT 3, 'definer', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
           ARRAY['EXECUTE']
      FROM pg_proc p JOIN mine n ON n.oid = p.pronamespace,
           aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE' AND p.prosecdef
    UNION ALL
    SELECT 4, 'database', quote_ident(d.datname), ARRAY['TEMPORARY']
      FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
     WHERE a.grantee = 0 AND a.privilege_type = 'TEMPORARY' AND d.datname = current_database()
    UNION ALL
    SELECT 5, 'function', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
           ARRAY['EXECUTE']
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
           aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'
       AND (p.proname ~ '^dblink'
            OR (n.nspname = 'pg_catalog'
                AND p.proname ~ '^(pg_(terminate|cancel)_backend|pg_notify|lo_(create|creat|from_bytea)|pg_(try_)?advisory_(xact_)?lock(_shared)?)$'))
) AS granted ORDER BY rank, name
"""
_WHY = {
    "relation": "Everybody who can connect may use them",
    "schema": "Everybody who can connect may create relations and functions in them",
    "definer": "They run with their owner's rights, whoever calls them",
    "database": "Everybody who can connect may make temporary tables, and fill the disk with them",
    "function": (
        "With them any login can end or block the sessions of its own role, signal to others or store data"
        " (the files of detections may not name them)"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicGrant:
    """Rights of everybody on things of one kind."""

    kind: str
    names: tuple[str, ...]
    rights: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What it lets happen, and the statements that end it."""
        shown = ", ".join(self.names[:_SHOWN])
        more = len(self.names) - _SHOWN
        and_more = f" and {more} more" if more > 0 else ""
        rights = ", ".join(self.rights)
        return (
            f"PUBLIC has {rights} on {_plural(self.kind, len(self.names))} {shown}{and_more}."
            f" {_WHY[self.kind]}. As their owner: {self.revoke}"
        )

    @property
    def revoke(self) -> str:
        """One statement that takes the rights back, of the first where there are many."""
        on = {
            "relation": f"ON {self.names[0]}",
            "schema": f"ON SCHEMA {', '.join(self.names)}",
            "definer": f"ON FUNCTION {self.names[0]}",
            "database": f"ON DATABASE {', '.join(self.names)}",
            "function": f"ON FUNCTION {self.names[0]}",
        }[self.kind]
        rest = (
            " …and so on"
            if len(self.names) > 1 and self.kind in {"relation", "definer", "function"}
            else ""
        )
        return f"REVOKE {', '.join(self.rights)} {on} FROM PUBLIC;{rest}"


def _plural(kind: str, count: int) -> str:
    words = {
        "relation": ("the relation", "the relations"),
        "schema": ("the schema", "the schemas"),
        "definer": ("the SECURITY DEFINER function", "the SECURITY DEFINER functions"),
        "database": ("the database", "the databases"),
        "function": ("the function", "the functions"),
    }
    return words[kind][count > 1]


async def find_public_grants(conn: Any) -> list[PublicGrant]:
    """What everybody may do in the connection's database, the gravest first."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in await conn.fetch(_FIND):
        found.setdefault((row["kind"], tuple(row["rights"])), []).append(row["name"])
    return [
        PublicGrant(kind=kind, names=tuple(names), rights=rights)
        for (kind, rights), names in found.items()
    ]
