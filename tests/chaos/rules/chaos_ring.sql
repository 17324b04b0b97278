/*
name: chaos_ring
title:
  ja: 一人の購入者による一連の注文
  en: A row of orders by one buyer
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 5s}
window: 24h
overlap: 30m
mode: review
actions: [hold, cancel, suspend, refund]
evidence:
  orders: {ja: 注文, en: Orders, type: count}
  seller: {ja: 出品者, en: Seller, type: text}
runbook:
  ja:
    - 注文を見ます。
    - 保留します。
  en:
    - Look at the orders.
    - Hold them.
false_positives:
  ja:
    - なし
  en:
    - None
daily_cap: 100000
*/
-- By the database's own time: the clocks of the bots are wrong on purpose.
SELECT buyer_id || '-00' AS subject_id, min(ordered_at) AS occurred_at, sum(total_amount)::bigint AS amount,
       min(currency) AS currency, ARRAY[buyer_id] AS account_ids, array_agg(order_id ORDER BY order_id) AS order_ids,
       count(*) AS orders,
       -- Text of a user, and a hostile one.
       (SELECT full_name FROM accounts WHERE account_id = min(seller_id)) AS seller
  FROM orders
 WHERE buyer_id LIKE 'ring-%' AND ordered_at >= now() - interval '4 minutes'
 GROUP BY buyer_id
 ORDER BY 1
