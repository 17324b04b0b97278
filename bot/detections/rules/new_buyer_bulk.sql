/*
name: new_buyer_bulk
title:
  ja: 登録直後の大量購入の疑い
  en: Suspected bulk purchase by a new account
source: market
subject: order
severity: P2
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  age:
    default: 24h
    ja: 登録からこの時間内の購入者だけを検知します
    en: Finds only buyers who signed up within this time
  orders:
    default: 3
    ja: 直前1時間の購入手続きがこの件数以上なら検知します
    en: Finds this many checkouts within an hour
  amount:
    default: 30000
    ja: 直前1時間の合計金額(最小通貨単位)がこの額以上で、注文が2件以上なら検知します
    en: Finds this sum (in minor units) within an hour, of two orders or more
  cart:
    default: 2m
    ja: この時間内の、同じカードによる別の販売者への注文は、1回の購入手続きとみなします
    en: Orders with one card to different sellers within this time are one checkout
actions: [hold, cancel]
evidence:
  buyer_since: {ja: 購入者の登録日時, en: Buyer signed up, type: time}
  orders_in_hour: {ja: 1時間以内の注文, en: Orders within an hour, type: count}
  sum_in_hour: {ja: 1時間以内の合計金額, en: Sum within an hour, type: money}
  cards_in_hour: {ja: 1時間以内のカード枚数, en: Cards within an hour, type: count}
runbook:
  ja:
    - 発送と振込を保留し、購入者の登録情報と配送先を確認します。
    - 登録直後に高額な注文を重ね、カードや配送先が注文ごとに変わる場合は、強制キャンセルを検討します。
  en:
    - Hold shipment and payout, and look at the buyer's registration and the ship-to.
    - Where costly orders follow right after sign-up and card or ship-to change from order to order, consider to force-cancel.
false_positives:
  ja:
    - 贈り物や催事のためにまとめて購入した新しい購入者
    - セールやSNSをきっかけに登録した購入者
  en:
    - A new buyer who buys gifts or things for a party at once
    - A buyer who signed up because of a sale or a post
daily_cap: 200
*/
-- Buyers who ordered just now and are new; from their first touched order on.
WITH touched AS MATERIALIZED (
    SELECT o.buyer_id, min(o.ordered_at) AS since
      FROM orders o
      JOIN accounts b ON b.account_id = o.buyer_id
     WHERE o.updated_at >= :changed_since AND o.ordered_at >= :window_start
       AND b.created_at > o.ordered_at - :age AND o.buyer_id <> ALL (:allow_accounts)
     GROUP BY o.buyer_id
),
candidates AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.ordered_at, o.currency, b.created_at AS buyer_since,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount
      FROM touched t
      JOIN orders o ON o.buyer_id = t.buyer_id AND o.ordered_at >= t.since
      JOIN accounts b ON b.account_id = o.buyer_id
     WHERE o.status <> 'canceled' AND b.created_at > o.ordered_at - :age
)
-- What the buyer had ordered within the hour when the order came, in its currency.
SELECT c.order_id AS subject_id, c.ordered_at AS occurred_at, c.amount, c.currency,
       ARRAY[c.buyer_id] AS account_ids, hour.order_ids,
       c.buyer_since, hour.orders AS orders_in_hour, hour.sum AS sum_in_hour, hour.cards AS cards_in_hour
  FROM candidates c
 CROSS JOIN LATERAL (
    SELECT count(*) AS orders, count(*) FILTER (WHERE NOT in_cart) AS checkouts,
           sum(net)::bigint AS sum, count(DISTINCT card_fingerprint) AS cards,
           array_agg(order_id ORDER BY ordered_at DESC, order_id) AS order_ids
      FROM (SELECT o.order_id, o.ordered_at, o.card_fingerprint,
                   o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS net,
                   EXISTS (SELECT FROM orders e
                            WHERE e.buyer_id = o.buyer_id AND e.seller_id <> o.seller_id
                              AND e.card_fingerprint IS NOT DISTINCT FROM o.card_fingerprint
                              AND e.ordered_at > o.ordered_at - :cart
                              AND (e.ordered_at, e.order_id) < (o.ordered_at, o.order_id)) AS in_cart
              FROM orders o
             WHERE o.buyer_id = c.buyer_id AND o.currency = c.currency AND o.status <> 'canceled'
               AND o.ordered_at > c.ordered_at - interval '1 hour'
               AND (o.ordered_at, o.order_id) <= (c.ordered_at, c.order_id)) AS bought
 ) AS hour
 WHERE hour.checkouts >= :orders OR hour.checkouts >= 2 AND hour.sum >= :amount
 ORDER BY c.ordered_at DESC, c.order_id
