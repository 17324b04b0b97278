/*
name: repeat_card_or_buyer_day
title:
  ja: 同じカード・購入者による1日の多数の注文の疑い
  en: Suspected use of a card until it is blocked
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 30s}
window: 48h
overlap: 5m
mode: review
parameters:
  repeats:
    default: 2
    ja: 直前24時間に、別の購入手続きによる注文がこの件数以上あれば検知します
    en: Finds an order after this many earlier checkouts within the day before it
  cart:
    default: 2m
    ja: この時間内の、同じ購入者・同じカードによる別の販売者への注文は、1回の購入手続きとみなします
    en: Orders of one buyer and card to different sellers within this time are one checkout
  known_after:
    default: 30d
    ja: 登録からこの期間が過ぎた購入者(チャージバックの知らせがないまま過ぎた人)は検知しません
    en: Leaves alone buyers who signed up longer ago than this, by when a chargeback would have come
actions: [hold, cancel]
evidence:
  earlier_orders: {ja: この注文の前24時間の注文, en: Orders within the day before, type: count}
  cards: {ja: 使われたカードの枚数, en: Cards used, type: count}
  buyers: {ja: 関係する購入者の人数, en: Buyers involved, type: count}
  previous_at: {ja: 直前の注文の日時, en: Order before this one, type: time}
runbook:
  ja:
    - 発送と振込を保留し、直前24時間の注文の配送先・金額・カードを見比べます。
    - 盗難カードは止められる前に使い切られます。カードや配送先が注文ごとに変わる場合は、強制キャンセルを検討します。
    - 催事や贈り物のための買い足しと分かった場合は「問題なし」を選びます。
  en:
    - Hold shipment and payout, and compare ship-to, amounts and cards with the orders of the day before.
    - A stolen card is used up before it is blocked. Where card or ship-to change from order to order, consider to force-cancel.
    - Where it is plain that somebody buys for a party or as gifts, choose "Not fraud".
false_positives:
  ja:
    - 贈り物や催事のために1日に何度も注文した購入者
    - 家族でカードを共有している購入者
  en:
    - A buyer who orders gifts or things for a party all day
    - A family that shares one card
daily_cap: 200
*/
WITH touched AS MATERIALIZED (
    SELECT buyer_id, card_fingerprint, ordered_at
      FROM orders
     WHERE updated_at >= :changed_since AND ordered_at >= :window_start
),
-- The touched orders, and what came within the day after one of them: an order that arrived late
-- also speaks against those.
candidates AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.seller_id, o.card_fingerprint, o.ordered_at, o.currency,
           -- An address without a number names a town, not a home.
           CASE WHEN normalize(o.ship_address, NFKC) ~ '[0-9]' THEN lower(regexp_replace(normalize(concat(o.ship_postal_code, o.ship_address), NFKC), '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) END AS place,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount
      FROM (SELECT a.order_id
              FROM touched t
              JOIN orders a ON a.buyer_id = t.buyer_id
               AND a.ordered_at >= t.ordered_at AND a.ordered_at < t.ordered_at + interval '24 hours'
             UNION
            SELECT a.order_id
              FROM touched t
              JOIN orders a ON a.card_fingerprint = t.card_fingerprint
               AND a.ordered_at >= t.ordered_at AND a.ordered_at < t.ordered_at + interval '24 hours'
           ) AS near
      JOIN orders o ON o.order_id = near.order_id
      LEFT JOIN accounts b ON b.account_id = o.buyer_id
     WHERE o.status <> 'canceled' AND o.buyer_id <> ALL (:allow_accounts)
       AND (b.created_at IS NULL OR b.created_at > o.ordered_at - :known_after)
)
SELECT c.order_id AS subject_id, c.ordered_at AS occurred_at, c.amount, c.currency,
       earlier.buyer_ids || c.buyer_id AS account_ids, earlier.order_ids,
       earlier.earlier_orders, earlier.previous_at,
       among.cards, among.buyers
  FROM candidates c
 CROSS JOIN LATERAL (
    SELECT count(*) AS earlier_orders, max(e.ordered_at) AS previous_at,
           array_agg(e.order_id ORDER BY e.ordered_at DESC, e.order_id) AS order_ids,
           array_agg(DISTINCT e.buyer_id) AS buyer_ids, array_agg(e.card_fingerprint) AS card_ids,
           array_agg(CASE WHEN normalize(e.ship_address, NFKC) ~ '[0-9]' THEN lower(regexp_replace(normalize(concat(e.ship_postal_code, e.ship_address), NFKC), '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) END) AS places
      FROM (SELECT order_id, buyer_id, seller_id, card_fingerprint, ordered_at, ship_postal_code, ship_address
              FROM orders
             WHERE buyer_id = c.buyer_id
               AND ordered_at > c.ordered_at - interval '24 hours' AND ordered_at <= c.ordered_at
             UNION
            SELECT order_id, buyer_id, seller_id, card_fingerprint, ordered_at, ship_postal_code, ship_address
              FROM orders
             WHERE card_fingerprint = c.card_fingerprint AND card_fingerprint <> ALL (:allow_cards)
               AND ordered_at > c.ordered_at - interval '24 hours' AND ordered_at <= c.ordered_at
           ) AS e
     -- Of two orders at the same instant one is the earlier one.
     WHERE (e.ordered_at, e.order_id) < (c.ordered_at, c.order_id)
       -- A cart with works of several makers becomes several orders at once; an order to the same
       -- seller again, or with another card, is a checkout of its own.
       AND NOT (e.buyer_id = c.buyer_id AND e.seller_id <> c.seller_id
                AND e.card_fingerprint IS NOT DISTINCT FROM c.card_fingerprint
                AND e.ordered_at > c.ordered_at - :cart)
 ) AS earlier
 CROSS JOIN LATERAL (
    SELECT (SELECT count(DISTINCT card) FROM unnest(earlier.card_ids || c.card_fingerprint) AS card) AS cards,
           (SELECT count(DISTINCT buyer) FROM unnest(earlier.buyer_ids || c.buyer_id) AS buyer) AS buyers,
           (SELECT count(DISTINCT place) FROM unnest(earlier.places || c.place) AS place) AS places
 ) AS among
 WHERE earlier.earlier_orders >= :repeats
   -- Who has everything sent to one home, and pays with one card, shops. Thieves hurry, buy dear or change
   -- something; others see these: repeat_card_or_buyer_hour, new_buyer_bulk, card_testing.
   -- And who sends each of them to a home of its own gives presents.
   AND NOT (among.buyers = 1 AND among.cards <= 1 AND among.places IN (1, earlier.earlier_orders + 1))
 ORDER BY c.ordered_at DESC, c.order_id
