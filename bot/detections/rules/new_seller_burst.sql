/*
name: new_seller_burst
title:
  ja: 新規ショップへの注文集中の疑い
  en: Suspected burst of orders at a new shop
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  shop_age:
    default: 14d
    ja: 登録からこの期間内の販売者を調べます
    en: Looks at sellers younger than this
  buyer_age:
    default: 48h
    ja: 登録からこの期間内の購入者を、新しい購入者とします
    en: Buyers younger than this count as new
  orders:
    default: 3
    ja: 24時間の支払い済み注文がこの件数以上なら検知します
    en: Finds this many paid orders within 24 hours
  share:
    default: 70
    ja: そのうち新しい購入者がこの割合(%)以上の場合に限ります
    en: Only where this many per cent of the buyers are new
  linked:
    default: 2
    ja: そのうち互いに、または販売者と、カード・端末・IPアドレス・届け先が一致する人がこの人数以上の場合に限ります(その人数分の情報がないときは問いません)
    en: Only where so many of them share a card, device, IP address or ship-to with one another or the seller; not asked where these are known of fewer
actions: [hold, cancel]
evidence:
  orders_in_day: {ja: 24時間の注文, en: Orders within 24 hours, type: count}
  new_buyers: {ja: 新しい購入者, en: New buyers, type: count}
  buyers: {ja: 購入者, en: Buyers, type: count}
  linked_buyers: {ja: カードや端末などが一致する人, en: With a card or device in common, type: count}
  shop_since: {ja: 販売者の登録日時, en: Seller signed up, type: time}
runbook:
  ja:
    - 発送と振込を保留し、購入者どうし、販売者とのつながりを確かめます。
    - 出品写真がほかの作家の作品の転載でないかを確かめます。
    - 自作自演とみられる場合は、注文を強制キャンセルして利用停止にします。
  en:
    - Hold shipment and payout, and look how the buyers belong together and to the seller.
    - See whether the listings' photographs are other makers' works.
    - If it is self-dealing, force-cancel the orders and suspend the accounts.
false_positives:
  ja:
    - SNSで話題になった新しいショップ
    - イベントや限定販売の初日
  en:
    - A new shop that was launched on social media
    - The first day of an event or a limited sale
daily_cap: 200
*/
WITH touched AS MATERIALIZED (
    SELECT o.seller_id, min(o.ordered_at) AS since
      FROM orders o
      JOIN accounts a ON a.account_id = o.seller_id
     WHERE o.updated_at >= :changed_since AND o.ordered_at >= :window_start
       AND a.created_at > o.ordered_at - :shop_age AND o.seller_id <> ALL (:allow_accounts)
     GROUP BY o.seller_id
),
candidates AS MATERIALIZED (
    SELECT o.order_id, o.seller_id, o.buyer_id, o.ordered_at, o.currency, s.created_at AS shop_since,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount
      FROM touched t
      JOIN orders o ON o.seller_id = t.seller_id AND o.ordered_at >= t.since
      JOIN accounts s ON s.account_id = o.seller_id
      JOIN accounts b ON b.account_id = o.buyer_id
     WHERE o.status <> 'canceled' AND o.paid_at IS NOT NULL
       AND s.created_at > o.ordered_at - :shop_age
       AND b.created_at > o.ordered_at - :buyer_age
)
-- How many bought there when a new buyer's order came, looking back only.
SELECT c.order_id AS subject_id, c.ordered_at AS occurred_at, c.amount, c.currency,
       array_append(day.new_ids, c.seller_id) AS account_ids, day.order_ids,
       day.orders AS orders_in_day, cardinality(day.new_ids) AS new_buyers, day.buyers,
       traced.linked AS linked_buyers, c.shop_since
  FROM candidates c
 CROSS JOIN LATERAL (
    SELECT count(*) AS orders, count(DISTINCT o.buyer_id) AS buyers,
           count(*) FILTER (WHERE b.created_at > o.ordered_at - :buyer_age) AS by_new,
           array_agg(DISTINCT o.buyer_id) FILTER (WHERE b.created_at > o.ordered_at - :buyer_age) AS new_ids,
           array_agg(o.order_id ORDER BY o.ordered_at DESC, o.order_id)
             FILTER (WHERE b.created_at > o.ordered_at - :buyer_age) AS order_ids
      FROM orders o
      LEFT JOIN accounts b ON b.account_id = o.buyer_id
     WHERE o.seller_id = c.seller_id AND o.status <> 'canceled' AND o.paid_at IS NOT NULL
       AND o.ordered_at > c.ordered_at - interval '24 hours' AND o.ordered_at <= c.ordered_at
 ) AS day
 -- Guests of a launch have nothing in common; the many accounts of one person seldom manage that.
 CROSS JOIN LATERAL (
    SELECT count(DISTINCT who) FILTER (WHERE parties > 1) AS linked, count(DISTINCT who) FILTER (WHERE who <> c.seller_id) AS known
      FROM (SELECT seen.who, dense_rank() OVER same + dense_rank() OVER back - 1 AS parties
              FROM (SELECT o.buyer_id AS who, trace.what, trace.value
                      FROM orders o
                      JOIN accounts b ON b.account_id = o.buyer_id
                     CROSS JOIN LATERAL (VALUES
                       ('card', o.card_fingerprint), ('device', o.device_id), ('device', b.signup_device_id),
                       ('ip', host(o.ip)), ('ip', host(b.signup_ip)),
                       ('place', CASE WHEN normalize(o.ship_address, NFKC) ~ '[0-9]' THEN lower(regexp_replace(normalize(concat(o.ship_postal_code, o.ship_address), NFKC), '[-\s‐‑–—―−ー,.、・]|丁目|番地?|号', '', 'g')) END)
                     ) AS trace(what, value)
                     WHERE o.order_id = ANY (day.order_ids)
                     UNION ALL
                    SELECT s.account_id, trace.what, trace.value
                      FROM accounts s
                     CROSS JOIN LATERAL (VALUES ('device', s.signup_device_id), ('ip', host(s.signup_ip))) AS trace(what, value)
                     WHERE s.account_id = c.seller_id) AS seen
             WHERE seen.value IS NOT NULL
            WINDOW same AS (PARTITION BY seen.what, seen.value ORDER BY seen.who),
                   back AS (PARTITION BY seen.what, seen.value ORDER BY seen.who DESC)) AS counted
 ) AS traced
 WHERE day.orders >= :orders AND 100 * day.by_new >= :share * day.orders
   AND (traced.linked >= :linked OR traced.known < :linked)
 ORDER BY c.ordered_at DESC, c.order_id
