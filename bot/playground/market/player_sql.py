"""The statements of one step of the play: which rows appear, and what moves, between two times.

Every statement takes $1, the time up to which all is visible, and $2, up to which it shall be; most
take $3, the accounts that the marketplace has suspended by itself. Each is right for any step,
however long: playing in many steps and in one jump end in the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Accounts that were suspended here, and not by the data: they order, list, post and follow no more.
READ_BARRED = """
    SELECT coalesce(array_agg(m.account_id), '{}')
      FROM market.accounts m LEFT JOIN feed.accounts f USING (account_id)
     WHERE m.status = 'suspended'
       AND NOT coalesce(f.status = 'suspended' AND f.ends_at <= $1, false)
"""
# The data's own suspension, closing or change of bank account arrives.
CHANGE_ACCOUNTS = """
    UPDATE market.accounts m
       SET status = CASE WHEN f.ends_at > $1 AND f.ends_at <= $2 AND m.status = 'active'
                         THEN f.status ELSE m.status END,
           suspended_at = CASE WHEN f.ends_at > $1 AND f.ends_at <= $2 AND m.status = 'active'
                               THEN f.suspended_at ELSE m.suspended_at END,
           payout_changed_at = CASE WHEN f.payout_changed_at <= $2 THEN f.payout_changed_at END,
           updated_at = greatest(m.updated_at, CASE WHEN f.ends_at <= $2 THEN f.ends_at END,
                                 CASE WHEN f.payout_changed_at <= $2 THEN f.payout_changed_at END)
      FROM feed.accounts f
     WHERE f.account_id = m.account_id AND f.play_at <= $1
       AND (f.ends_at > $1 AND f.ends_at <= $2
            OR f.payout_changed_at > $1 AND f.payout_changed_at <= $2)
"""
# A listing reaches the status that the data gives it, unless it was taken down here.
CHANGE_LISTINGS = """
    UPDATE market.listings m
       SET status = CASE WHEN m.status = 'active' THEN f.status ELSE m.status END,
           updated_at = greatest(m.updated_at, f.updated_at)
      FROM feed.listings f
     WHERE f.listing_id = m.listing_id AND f.play_at <= $1
       AND f.updated_at > $1 AND f.updated_at <= $2
"""
CHANGE_POSTS = """
    UPDATE market.posts m SET updated_at = greatest(m.updated_at, f.updated_at)
      FROM feed.posts f
     WHERE f.post_id = m.post_id AND f.created_at <= $1
       AND f.updated_at > $1 AND f.updated_at <= $2
"""
CHANGE_REFUNDS = """
    UPDATE market.refunds m SET state = f.state, updated_at = greatest(m.updated_at, f.updated_at)
      FROM feed.refunds f
     WHERE f.refund_id = m.refund_id AND f.created_at <= $1
       AND f.updated_at > $1 AND f.updated_at <= $2
"""
# Who is suspended neither orders nor is ordered from; what would have come is counted.
PREVENT_ORDERS = """
    UPDATE feed.orders SET prevented_at = $2
     WHERE ordered_at > $1 AND ordered_at <= $2
       AND (buyer_id = ANY ($3::text[]) OR seller_id = ANY ($3::text[]))
"""
START_ORDERS = """
    UPDATE feed.orders SET next_at = ordered_at
     WHERE ordered_at > $1 AND ordered_at <= $2 AND prevented_at IS NULL
"""
# Locked first, by themselves: the statement that moves them must see what the admin API did meanwhile.
LOCK_ORDERS = """
    SELECT count(*) FROM (
        SELECT FROM market.orders m JOIN feed.orders f USING (order_id)
         WHERE f.next_at <= greatest($1::timestamptz, $2) ORDER BY m.order_id FOR UPDATE OF m) AS locked
"""
# Orders go through their states. `blocked`: held, or sold by an account that is suspended: neither
# shipped nor paid out until that ends, and then late by as much (`late`). `stopped`: cancelled by the
# admin API, which is final. `is_fresh`: appears in this very step.
MOVE_ORDERS = """
    WITH due AS MATERIALIZED (
        SELECT f.order_id, f.status AS end_status, f.final_at, f.paid_out, f.payout_is_scheduled,
               f.paid_at, f.shipped_at, f.delivered_at, f.payout_at, f.canceled_at, f.held_at,
               f.tracking_number, f.ordered_at > $1 AS is_fresh,
               m.status AS old_status, m.paid_at AS old_paid_at, m.shipped_at AS old_shipped_at,
               m.delivered_at AS old_delivered_at, m.payout_at AS old_payout_at,
               m.canceled_at AS old_canceled_at, m.held_at AS old_held_at,
               m.updated_at AS old_updated_at,
               m.status = 'canceled' AND NOT f.canceled_by_play AS stopped,
               m.held_at IS NOT NULL AND m.held_at IS DISTINCT FROM f.held_at
                   OR m.seller_id = ANY ($3::text[]) AS blocked
          FROM feed.orders f JOIN market.orders m USING (order_id)
         WHERE f.next_at <= $2
    ), before_delivery AS (
        SELECT due.*,
               coalesce(old_paid_at, feed.told_at(paid_at, $1, $2, is_fresh)) AS new_paid_at,
               coalesce(old_shipped_at, CASE WHEN NOT blocked
                        THEN feed.told_at(shipped_at, $1, $2, is_fresh) END) AS new_shipped_at,
               coalesce(old_canceled_at, feed.told_at(canceled_at, $1, $2, is_fresh))
                   AS new_canceled_at,
               CASE WHEN held_at <= $2 AND (held_at > $1 OR is_fresh) THEN held_at
                    ELSE old_held_at END AS new_held_at
          FROM due
    ), delayed AS (
        SELECT before_delivery.*,
               greatest(coalesce(new_shipped_at - shipped_at, '0'), '0') AS late
          FROM before_delivery
    ), delivered AS (
        SELECT delayed.*,
               coalesce(old_delivered_at, CASE WHEN NOT blocked OR new_shipped_at IS NOT NULL
                        THEN feed.told_at(delivered_at + late, $1, $2, is_fresh) END)
                   AS new_delivered_at,
               CASE WHEN NOT paid_out AND NOT blocked
                    THEN feed.told_at(payout_at + late, $1, $2, is_fresh) END AS now_paid_out_at
          FROM delayed
    ), reached AS (
        SELECT delivered.*,
               paid_out OR now_paid_out_at IS NOT NULL AS is_paid_out,
               CASE WHEN now_paid_out_at IS NOT NULL THEN now_paid_out_at
                    WHEN paid_out OR NOT payout_is_scheduled THEN old_payout_at
                    WHEN blocked THEN CASE WHEN payout_at + late > $2 THEN old_payout_at END
                    WHEN new_paid_at IS NOT NULL THEN payout_at + late END AS new_payout_at
          FROM delivered
    ), ended AS (
        SELECT reached.*,
               CASE WHEN (paid_at IS NULL OR new_paid_at IS NOT NULL)
                     AND (shipped_at IS NULL OR new_shipped_at IS NOT NULL)
                     AND (delivered_at IS NULL OR new_delivered_at IS NOT NULL)
                     AND (canceled_at IS NULL OR new_canceled_at IS NOT NULL)
                     AND (payout_at IS NULL OR is_paid_out)
                     AND NOT (blocked AND end_status = 'completed')
                    THEN feed.told_at(final_at + late, $1, $2, is_fresh) END AS ended_at
          FROM reached
    ), moved AS (
        SELECT ended.*,
               CASE WHEN ended_at IS NOT NULL THEN end_status
                    WHEN new_canceled_at IS NOT NULL THEN 'canceled'
                    WHEN new_delivered_at IS NOT NULL THEN 'delivered'
                    WHEN new_shipped_at IS NOT NULL THEN 'shipped'
                    WHEN new_paid_at IS NOT NULL THEN 'paid'
                    ELSE 'pending' END AS new_status,
               CASE WHEN ended_at IS NULL THEN least(
                    CASE WHEN new_paid_at IS NULL THEN paid_at END,
                    CASE WHEN new_shipped_at IS NULL THEN shipped_at END,
                    CASE WHEN new_delivered_at IS NULL THEN delivered_at + late END,
                    CASE WHEN new_canceled_at IS NULL THEN canceled_at END,
                    CASE WHEN NOT is_paid_out THEN payout_at + late END,
                    CASE WHEN held_at > $2 THEN held_at END,
                    greatest(final_at + late, paid_at, shipped_at, delivered_at + late,
                             canceled_at, payout_at + late)) END AS new_next_at,
               greatest(old_updated_at,
                    CASE WHEN old_paid_at IS NULL THEN new_paid_at END,
                    CASE WHEN old_shipped_at IS NULL THEN new_shipped_at END,
                    CASE WHEN old_delivered_at IS NULL THEN new_delivered_at END,
                    CASE WHEN old_canceled_at IS NULL THEN new_canceled_at END,
                    CASE WHEN new_held_at IS DISTINCT FROM old_held_at THEN new_held_at END,
                    CASE WHEN old_payout_at IS NOT NULL AND new_payout_at IS NULL THEN $2 END,
                    now_paid_out_at, ended_at) AS new_updated_at
          FROM ended
    ), shown AS (
        UPDATE market.orders m
           SET status = new_status, paid_at = new_paid_at, shipped_at = new_shipped_at,
               delivered_at = new_delivered_at, payout_at = new_payout_at,
               canceled_at = new_canceled_at, held_at = new_held_at,
               tracking_number = CASE WHEN new_shipped_at IS NOT NULL
                                      THEN moved.tracking_number END,
               updated_at = new_updated_at
          FROM moved
         WHERE m.order_id = moved.order_id AND NOT stopped
           AND (new_status, new_paid_at, new_shipped_at, new_delivered_at, new_payout_at,
                new_canceled_at, new_held_at, new_updated_at) IS DISTINCT FROM
               (m.status, m.paid_at, m.shipped_at, m.delivered_at, m.payout_at,
                m.canceled_at, m.held_at, m.updated_at)
    )
    UPDATE feed.orders f
       SET next_at = CASE WHEN NOT stopped THEN new_next_at END,
           paid_out = NOT stopped AND is_paid_out,
           canceled_by_play = NOT stopped AND new_status = 'canceled'
      FROM moved
     WHERE f.order_id = moved.order_id
"""
# The card company takes nothing back of an order that never was, or that was cancelled here.
AVERT_CHARGEBACKS = """
    UPDATE feed.chargebacks c SET averted_at = $2
      FROM feed.orders o LEFT JOIN market.orders m USING (order_id)
     WHERE o.order_id = c.order_id AND c.received_at > $1 AND c.received_at <= $2
       AND (o.prevented_at IS NOT NULL OR m.status = 'canceled' AND NOT o.canceled_by_play)
"""

_BELONGS_TO_NO_STOPPED_ORDER = """
    NOT EXISTS (SELECT FROM feed.orders o LEFT JOIN market.orders m USING (order_id)
                 WHERE o.order_id = f.order_id
                   AND (o.prevented_at IS NOT NULL
                        OR m.status = 'canceled' AND NOT o.canceled_by_play))
"""
_BELONGS_TO_NO_PREVENTED_ORDER = """
    NOT EXISTS (SELECT FROM feed.orders o
                 WHERE o.order_id = f.order_id AND o.prevented_at IS NOT NULL)
"""


def _appearing(
    relation: str,
    columns: Mapping[str, Sequence[str]],
    at: str,
    *,
    also: str = "true",
    instead: Mapping[str, str] | None = None,
) -> str:
    """The rows of a relation whose time `at` has come; `instead` says what shows for a column now."""
    names = ", ".join(columns[relation])
    values = ", ".join((instead or {}).get(name, f"f.{name}") for name in columns[relation])
    return (
        f"INSERT INTO market.{relation} ({names}) SELECT {values} FROM feed.{relation} f "  # noqa: S608 (names of the catalogue)
        f"WHERE f.{at} > $1 AND f.{at} <= $2 AND ({also}) ON CONFLICT DO NOTHING"
    )


def _unbarred(account: str) -> str:
    return f"coalesce(f.{account} <> ALL ($3::text[]), true)"


def write_step(columns: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """The statements of a step in their order, each with the relation that it plays."""
    no_time_yet = {
        "status": "'pending'",
        "updated_at": "f.ordered_at",
        **dict.fromkeys(
            (
                "tracking_number",
                "paid_at",
                "shipped_at",
                "delivered_at",
                "payout_at",
                "canceled_at",
                "held_at",
            ),
            "NULL",
        ),
    }
    account_now = {
        "status": "CASE WHEN f.ends_at <= $2 THEN f.status ELSE 'active' END",
        "suspended_at": "CASE WHEN f.ends_at <= $2 THEN f.suspended_at END",
        "payout_changed_at": "CASE WHEN f.payout_changed_at <= $2 THEN f.payout_changed_at END",
        "updated_at": "greatest(f.play_at, CASE WHEN f.ends_at <= $2 THEN f.ends_at END, "
        "CASE WHEN f.payout_changed_at <= $2 THEN f.payout_changed_at END)",
    }
    listing_now = {
        "status": "CASE WHEN f.updated_at <= $2 THEN f.status ELSE 'active' END",
        "updated_at": "greatest(f.play_at, CASE WHEN f.updated_at <= $2 THEN f.updated_at END)",
    }
    post_now = {
        "updated_at": "CASE WHEN f.updated_at <= $2 THEN f.updated_at ELSE f.created_at END"
    }
    refund_now = {
        "state": "CASE WHEN f.updated_at <= $2 THEN f.state ELSE 'pending' END",
        "updated_at": "CASE WHEN f.updated_at <= $2 THEN f.updated_at ELSE f.created_at END",
    }
    items = (
        f"INSERT INTO market.order_items ({', '.join(columns['order_items'])}) "  # noqa: S608
        f"SELECT {', '.join(f'f.{name}' for name in columns['order_items'])} "
        "FROM feed.order_items f JOIN feed.orders o USING (order_id) "
        "WHERE o.ordered_at > $1 AND o.ordered_at <= $2 AND o.prevented_at IS NULL "
        "ON CONFLICT DO NOTHING"
    )
    appear = _appearing
    return (
        ("accounts", CHANGE_ACCOUNTS),
        ("accounts", appear("accounts", columns, "play_at", instead=account_now)),
        ("listings", CHANGE_LISTINGS),
        (
            "listings",
            appear(
                "listings", columns, "play_at", also=_unbarred("seller_id"), instead=listing_now
            ),
        ),
        ("orders", PREVENT_ORDERS),
        ("orders", START_ORDERS),
        (
            "orders",
            appear(
                "orders", columns, "ordered_at", also="f.prevented_at IS NULL", instead=no_time_yet
            ),
        ),
        ("order_items", items),
        ("orders", LOCK_ORDERS),
        ("orders", MOVE_ORDERS),
        (
            "payment_attempts",
            appear(
                "payment_attempts",
                columns,
                "attempted_at",
                also=f"{_unbarred('account_id')} AND {_BELONGS_TO_NO_STOPPED_ORDER}",
            ),
        ),
        ("chargebacks", AVERT_CHARGEBACKS),
        ("chargebacks", appear("chargebacks", columns, "received_at", also="f.averted_at IS NULL")),
        ("refunds", CHANGE_REFUNDS),
        (
            "refunds",
            appear(
                "refunds",
                columns,
                "created_at",
                also=_BELONGS_TO_NO_STOPPED_ORDER,
                instead=refund_now,
            ),
        ),
        (
            "fraud_warnings",
            appear("fraud_warnings", columns, "received_at", also=_BELONGS_TO_NO_PREVENTED_ORDER),
        ),
        (
            "follow_events",
            appear("follow_events", columns, "occurred_at", also=_unbarred("follower_id")),
        ),
        ("posts", CHANGE_POSTS),
        (
            "posts",
            appear("posts", columns, "created_at", also=_unbarred("account_id"), instead=post_now),
        ),
        (
            "account_events",
            appear("account_events", columns, "occurred_at", also=_unbarred("account_id")),
        ),
        (
            "user_reports",
            appear("user_reports", columns, "created_at", also=_unbarred("reporter_id")),
        ),
        ("inquiries", appear("inquiries", columns, "created_at")),
    )
