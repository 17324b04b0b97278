/*
name: device_many_cards
title:
  ja: 1台の端末で多数のカードを使用している疑い
  en: Suspected use of many cards on one device
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  cards_day:
    default: 3
    ja: 1台の端末で24時間に使われたカードがこの枚数以上なら検知します
    en: Finds this many cards on one device within 24 hours
  cards_week:
    default: 4
    ja: 1台の端末で7日間に使われたカードがこの枚数以上なら検知します
    en: Finds this many cards on one device within 7 days
  crowd:
    default: 6
    ja: 7日間にこの人数を超える購入者が使った端末(店頭の端末など)は検知しません
    en: Leaves alone a device that more buyers than this used within 7 days, such as one in a shop
actions: [hold, cancel]
evidence:
  cards_in_day: {ja: 24時間以内のカード枚数, en: Cards within 24 hours, type: count}
  cards_in_week: {ja: 7日以内のカード枚数, en: Cards within 7 days, type: count}
  buyers: {ja: この端末を使った購入者, en: Buyers on this device, type: count}
  declined_in_week: {ja: 7日以内に拒否された決済, en: Declined payments within 7 days, type: count}
runbook:
  ja:
    - 発送と振込を保留し、同じ端末の注文と購入者を確認します。
    - カードの名義がばらばらで、拒否された決済が混ざる場合は、強制キャンセルして購入者を利用停止にします。
  en:
    - Hold shipment and payout, and look at orders and buyers of the same device.
    - Where card holders differ and declined payments are among them, force-cancel and suspend the buyers.
false_positives:
  ja:
    - 家族で共有しているパソコンやタブレット
    - 店頭や施設の共用端末
  en:
    - A computer or tablet that a family shares
    - A device for everybody in a shop or institution
daily_cap: 200
*/
WITH touched AS MATERIALIZED (
    SELECT device_id, min(seen_at) AS since
      FROM (SELECT device_id, ordered_at AS seen_at
              FROM orders
             WHERE updated_at >= :changed_since AND device_id IS NOT NULL AND card_fingerprint IS NOT NULL
             UNION ALL
            SELECT device_id, attempted_at
              FROM payment_attempts
             WHERE attempted_at >= :changed_since AND device_id IS NOT NULL AND card_fingerprint IS NOT NULL
           ) AS new
     WHERE seen_at >= :window_start
     GROUP BY device_id
),
candidates AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.device_id, o.ordered_at, o.currency,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount
      FROM touched t
      JOIN orders o ON o.device_id = t.device_id AND o.ordered_at >= t.since
     WHERE o.card_fingerprint IS NOT NULL AND o.status <> 'canceled'
       AND o.buyer_id <> ALL (:allow_accounts)
)
-- How many cards the device had seen when the order came, looking back only.
SELECT c.order_id AS subject_id, c.ordered_at AS occurred_at, c.amount, c.currency,
       used.account_ids, used.order_ids,
       used.cards_in_day, used.cards_in_week, used.buyers, used.declined_in_week
  FROM candidates c
 CROSS JOIN LATERAL (
    SELECT count(DISTINCT card) FILTER (WHERE seen_at > c.ordered_at - interval '24 hours') AS cards_in_day,
           count(DISTINCT card) AS cards_in_week, count(DISTINCT account_id) AS buyers,
           count(*) FILTER (WHERE declined) AS declined_in_week,
           array_agg(DISTINCT account_id) AS account_ids,
           (array_agg(order_id ORDER BY seen_at DESC, order_id) FILTER (WHERE is_open))[1:50] AS order_ids
      FROM (SELECT card_fingerprint AS card, buyer_id AS account_id, order_id, ordered_at AS seen_at,
                   false AS declined, status IN ('pending', 'paid') AS is_open
              FROM orders
             WHERE device_id = c.device_id
               AND ordered_at > c.ordered_at - interval '7 days' AND ordered_at <= c.ordered_at
             UNION ALL
            SELECT card_fingerprint, account_id, NULL, attempted_at, result = 'declined', false
              FROM payment_attempts
             WHERE device_id = c.device_id
               AND attempted_at > c.ordered_at - interval '7 days' AND attempted_at <= c.ordered_at) AS seen
     WHERE card <> ALL (:allow_cards)
 ) AS used
 WHERE (used.cards_in_day >= :cards_day OR used.cards_in_week >= :cards_week) AND used.buyers <= :crowd
 ORDER BY c.ordered_at DESC, c.order_id
