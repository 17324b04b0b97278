/*
name: ship_to_cluster
title:
  ja: 1つの届け先に多数の購入者が集中している疑い
  en: Suspected drop address of many buyers
source: market
subject: order
severity: P2
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  buyers:
    default: 3
    ja: 同じ届け先の購入者が24時間でこの人数以上なら検知します
    en: Finds this many buyers with one ship-to within 24 hours
  cards:
    default: 2
    ja: あわせて、使われたカードがこの枚数以上の場合に限ります
    en: And this many cards among them
  names:
    default: 3
    ja: 1枚のカードの届け先の名前が7日間でこの種類以上なら検知します
    en: Finds this many ship-to names on one card within 7 days
  newcomers:
    default: 2
    ja: 同じ配送先の購入者のうち、これだけが最近の登録(または登録日不明)であること
    en: So many of the buyers at one address signed up recently, or nobody knows when
  known_after:
    default: 30d
    ja: 登録からこの期間を過ぎた購入者は新しいと見なさない
    en: A buyer who signed up longer ago than this is new no more
  crowd:
    default: 12
    ja: 過去30日にこの人数を超える購入者がいた届け先(会社・学校など)は検知しません
    en: Leaves alone an address with more buyers than this in 30 days, such as an office or a school
actions: [hold, cancel]
evidence:
  buyers_in_day: {ja: 24時間以内の購入者, en: Buyers within 24 hours, type: count}
  cards_in_day: {ja: 24時間以内のカード枚数, en: Cards within 24 hours, type: count}
  names_in_week: {ja: 同じカードの届け先の名前, en: Ship-to names of the same card, type: count}
  new_buyers: {ja: 最近登録した購入者, en: Buyers who signed up recently, type: count}
runbook:
  ja:
    - 発送を保留し、届け先が会社・学校・転送サービスのものでないかを確認します。
    - 購入者同士のつながりが説明できない場合は、強制キャンセルを検討します。
  en:
    - Hold shipment, and see whether the address is an office, a school or a forwarding service.
    - Where nothing explains what the buyers have in common, consider to force-cancel.
false_positives:
  ja:
    - 同じ会社・学生寮・集合住宅から注文した人たち
    - 転送サービスを利用する海外の購入者
  en:
    - People who order from one office, dormitory or block of flats
    - Buyers abroad who use a forwarding service
daily_cap: 200
*/
WITH touched AS MATERIALIZED (
    SELECT order_id, ordered_at, ship_postal_code, card_fingerprint
      FROM orders
     WHERE updated_at >= :changed_since AND ordered_at >= :window_start
),
-- The touched orders, and what came to the same places and with the same cards soon after one of them.
near AS (
    SELECT order_id FROM touched
     UNION
    SELECT a.order_id
      FROM touched t
      JOIN orders a ON a.ship_postal_code = t.ship_postal_code
       AND a.ordered_at >= t.ordered_at AND a.ordered_at < t.ordered_at + interval '24 hours'
     UNION
    SELECT a.order_id
      FROM touched t
      JOIN orders a ON a.card_fingerprint = t.card_fingerprint
       AND a.ordered_at >= t.ordered_at AND a.ordered_at < t.ordered_at + interval '7 days'
),
candidates AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.ordered_at, o.currency, o.card_fingerprint, o.ship_postal_code,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount,
           -- An address without a number names a town, not a home.
           CASE WHEN normalize(o.ship_address, NFKC) ~ '[0-9]' THEN lower(regexp_replace(normalize(concat(o.ship_postal_code, o.ship_address), NFKC), '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) END AS place,
           b.created_at IS NULL OR b.created_at > o.ordered_at - :known_after AS is_unknown
      FROM near
      JOIN orders o ON o.order_id = near.order_id
      LEFT JOIN accounts b ON b.account_id = o.buyer_id
     WHERE o.status <> 'canceled' AND o.buyer_id <> ALL (:allow_accounts)
)
SELECT c.order_id AS subject_id, c.ordered_at AS occurred_at, c.amount, c.currency,
       coalesce(here.account_ids, ARRAY[c.buyer_id]) AS account_ids,
       CASE WHEN here.buyers >= :buyers THEN here.order_ids ELSE named.order_ids END AS order_ids,
       here.buyers AS buyers_in_day, here.cards AS cards_in_day, named.names AS names_in_week, here.new_buyers
  FROM candidates c
 CROSS JOIN LATERAL (
    SELECT count(DISTINCT o.buyer_id) FILTER (WHERE today) AS buyers,
           count(DISTINCT o.card_fingerprint) FILTER (WHERE today) AS cards,
           count(DISTINCT o.buyer_id) AS in_month,
           count(DISTINCT o.buyer_id) FILTER (
             WHERE today AND b.created_at > c.ordered_at - :known_after) AS new_buyers,
           count(DISTINCT o.buyer_id) FILTER (
             WHERE today AND (b.created_at IS NULL OR b.created_at > c.ordered_at - :known_after)) AS unknown,
           array_agg(DISTINCT o.buyer_id) FILTER (WHERE today) AS account_ids,
           (array_agg(o.order_id ORDER BY o.ordered_at DESC, o.order_id) FILTER (WHERE today))[1:50] AS order_ids
      FROM (SELECT e.*, e.ordered_at > c.ordered_at - interval '24 hours' AS today
              FROM orders e
             WHERE e.ship_postal_code = c.ship_postal_code AND e.status <> 'canceled'
               AND e.ordered_at > c.ordered_at - interval '30 days' AND e.ordered_at <= c.ordered_at
               AND lower(regexp_replace(normalize(concat(e.ship_postal_code, e.ship_address), NFKC), '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) = c.place) AS o
      LEFT JOIN accounts b ON b.account_id = o.buyer_id
 ) AS here
 CROSS JOIN LATERAL (
    SELECT count(DISTINCT regexp_replace(lower(normalize(e.ship_name, NFKC)), '\s', '', 'g')) AS names,
           count(DISTINCT e.buyer_id) AS buyers,
           count(DISTINCT CASE WHEN normalize(e.ship_address, NFKC) ~ '[0-9]' THEN lower(regexp_replace(normalize(concat(e.ship_postal_code, e.ship_address), NFKC), '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) END) AS places,
           (array_agg(e.order_id ORDER BY e.ordered_at DESC, e.order_id))[1:50] AS order_ids
      FROM orders e
     WHERE e.card_fingerprint = c.card_fingerprint AND e.card_fingerprint <> ALL (:allow_cards)
       AND e.status <> 'canceled'
       AND e.ordered_at > c.ordered_at - interval '7 days' AND e.ordered_at <= c.ordered_at
 ) AS named
 -- Who has been a buyer for months and orders to the office or to friends is no drop address.
 WHERE here.buyers >= :buyers AND here.cards >= :cards AND here.in_month <= :crowd AND here.unknown >= :newcomers
    -- One buyer's presents go each to a home of its own; with several cards, dropship_triangle finds them.
    OR named.names >= :names AND c.is_unknown AND NOT (named.buyers = 1 AND named.places >= named.names)
 ORDER BY c.ordered_at DESC, c.order_id
