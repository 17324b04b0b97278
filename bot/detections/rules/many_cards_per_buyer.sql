/*
name: many_cards_per_buyer
title:
  ja: 多数のカードを使い分ける購入者の疑い
  en: Suspected use of many cards by one buyer
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  cards_hour:
    default: 3
    ja: 1時間に使ったカードがこの枚数を超えたら検知します
    en: Finds more cards than this within an hour
  cards_day:
    default: 5
    ja: 24時間に使ったカードがこの枚数を超えたら検知します
    en: Finds more cards than this within 24 hours
  cards_week:
    default: 8
    ja: 7日間に使ったカードがこの枚数を超えたら検知します
    en: Finds more cards than this within 7 days
actions: [hold, cancel]
evidence:
  cards_in_hour: {ja: 1時間以内のカード枚数, en: Cards within an hour, type: count}
  cards_in_day: {ja: 24時間以内のカード枚数, en: Cards within 24 hours, type: count}
  cards_in_week: {ja: 7日以内のカード枚数, en: Cards within 7 days, type: count}
  declined_in_day: {ja: 24時間以内に拒否された決済, en: Declined payments within 24 hours, type: count}
runbook:
  ja:
    - 発送と振込を保留し、同じ購入者の未発送の注文をすべて確認します。
    - カードの名義や配送先がそろっているかを管理画面で確かめます。
    - 盗難カードの疑いが残る場合は、注文を強制キャンセルして購入者を利用停止にします。
  en:
    - Hold shipment and payout, and look at every unshipped order of the same buyer.
    - See in the back office whether card holders and ship-to names belong together.
    - If stolen cards remain likely, force-cancel the orders and suspend the buyer.
false_positives:
  ja:
    - 家族のカードを使い分けている購入者
    - 有効期限切れなどで決済に失敗し、別のカードで払い直した購入者
  en:
    - A buyer who uses the cards of a family
    - A buyer whose card had expired and who paid again with others
daily_cap: 200
*/
-- A buyer is touched by a new order or a new try to pay: both show a card.
WITH touched AS MATERIALIZED (
    SELECT buyer_id AS account_id, min(seen_at) AS since
      FROM (SELECT buyer_id, ordered_at AS seen_at
              FROM orders
             WHERE updated_at >= :changed_since AND card_fingerprint IS NOT NULL
             UNION ALL
            SELECT account_id, attempted_at
              FROM payment_attempts
             WHERE attempted_at >= :changed_since AND card_fingerprint IS NOT NULL) AS new
     WHERE seen_at >= :window_start
     GROUP BY buyer_id
),
-- Their card orders from then on; an order that arrived late also speaks against the ones after it.
candidates AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.ordered_at, o.currency,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount
      FROM touched t
      JOIN orders o ON o.buyer_id = t.account_id AND o.ordered_at >= t.since
     WHERE o.card_fingerprint IS NOT NULL AND o.status <> 'canceled'
       AND o.buyer_id <> ALL (:allow_accounts)
)
-- How many cards the buyer had used when the order came, looking back only.
SELECT c.order_id AS subject_id, c.ordered_at AS occurred_at, c.amount, c.currency,
       ARRAY[c.buyer_id] AS account_ids, others.order_ids,
       used.cards_in_hour, used.cards_in_day, used.cards_in_week, used.declined_in_day
  FROM candidates c
 CROSS JOIN LATERAL (
    SELECT count(DISTINCT card) FILTER (WHERE seen_at > c.ordered_at - interval '1 hour') AS cards_in_hour,
           count(DISTINCT card) FILTER (WHERE seen_at > c.ordered_at - interval '24 hours') AS cards_in_day,
           count(DISTINCT card) AS cards_in_week,
           count(*) FILTER (WHERE declined AND seen_at > c.ordered_at - interval '24 hours') AS declined_in_day
      FROM (SELECT card_fingerprint AS card, ordered_at AS seen_at, false AS declined
              FROM orders
             WHERE buyer_id = c.buyer_id
               AND ordered_at > c.ordered_at - interval '7 days' AND ordered_at <= c.ordered_at
             UNION ALL
            SELECT card_fingerprint, attempted_at, result = 'declined'
              FROM payment_attempts
             WHERE account_id = c.buyer_id
               AND attempted_at > c.ordered_at - interval '7 days' AND attempted_at <= c.ordered_at) AS seen
     WHERE card <> ALL (:allow_cards)
 ) AS used
 -- The buyer's other card orders within the shortest time that is too much: probably of the same kind.
 CROSS JOIN LATERAL (
    SELECT array_agg(o.order_id ORDER BY o.ordered_at DESC, o.order_id) AS order_ids
      FROM orders o
     WHERE o.buyer_id = c.buyer_id AND o.card_fingerprint IS NOT NULL AND o.status <> 'canceled'
       AND o.ordered_at <= c.ordered_at
       AND o.ordered_at > c.ordered_at - CASE WHEN used.cards_in_hour > :cards_hour THEN interval '1 hour'
                                              WHEN used.cards_in_day > :cards_day THEN interval '24 hours'
                                              ELSE interval '7 days' END
 ) AS others
 WHERE used.cards_in_hour > :cards_hour
    OR used.cards_in_day > :cards_day
    OR used.cards_in_week > :cards_week
 ORDER BY c.ordered_at DESC, c.order_id
