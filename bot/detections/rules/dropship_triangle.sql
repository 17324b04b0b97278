/*
name: dropship_triangle
title:
  ja: 購入代行を装った不正購入の疑い
  en: Suspected triangulation (goods sent on to strangers)
source: market
subject: order
severity: P2
owner: fraud
schedule: {every: 30s}
window: 7d
overlap: 5m
mode: review
parameters:
  names:
    default: 4
    ja: 7日間に、本人以外の届け先の名前がこの種類以上なら検知します
    en: Finds this many ship-to names other than the buyer's within 7 days
  cards:
    default: 2
    ja: あわせて、使われたカードがこの枚数以上の場合に限ります
    en: And this many cards among them
actions: [hold, cancel]
evidence:
  names_in_week: {ja: 7日以内の本人以外の届け先, en: Ship-to names of others within 7 days, type: count}
  cards_in_week: {ja: 7日以内のカード枚数, en: Cards within 7 days, type: count}
  orders_in_week: {ja: 7日以内の注文, en: Orders within 7 days, type: count}
runbook:
  ja:
    - 発送を保留し、届け先の人が別の店で購入したものと思い込んでいないかを考えます。
    - カードの名義と購入者が合わない場合は、強制キャンセルして購入者を利用停止にします。
  en:
    - Hold shipment; whoever is at the ship-to may believe that they bought in another shop.
    - Where card holders and buyer do not belong together, force-cancel and suspend the buyer.
false_positives:
  ja:
    - 結婚式の引き出物やお歳暮を手配した購入者
    - 取引先への贈り物をまとめて送る会社
  en:
    - A buyer who sends wedding favours or seasonal gifts
    - A company that sends presents to its customers
daily_cap: 200
*/
WITH touched AS MATERIALIZED (
    SELECT buyer_id, min(ordered_at) AS since
      FROM orders
     WHERE updated_at >= :changed_since AND ordered_at >= :window_start AND ship_name IS NOT NULL
       AND buyer_id <> ALL (:allow_accounts)
     GROUP BY buyer_id
),
candidates AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.ordered_at, o.currency, o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount,
           regexp_replace(lower(normalize(b.full_name, NFKC)), '\s', '', 'g') AS own_name
      FROM touched t
      JOIN orders o ON o.buyer_id = t.buyer_id AND o.ordered_at >= t.since
      LEFT JOIN accounts b ON b.account_id = o.buyer_id
     WHERE o.ship_name IS NOT NULL AND o.status <> 'canceled'
)
-- To how many strangers the buyer had sent when the order came; who sends to a friend again sends no stranger's goods.
SELECT c.order_id AS subject_id, c.ordered_at AS occurred_at, c.amount, c.currency,
       ARRAY[c.buyer_id] AS account_ids, week.order_ids,
       week.names AS names_in_week, week.cards AS cards_in_week, week.orders AS orders_in_week
  FROM candidates c
 CROSS JOIN LATERAL (
    SELECT count(DISTINCT name) AS names, count(DISTINCT card_fingerprint) AS cards, count(*) AS orders,
           (array_agg(order_id ORDER BY ordered_at DESC, order_id))[1:50] AS order_ids
      FROM (SELECT o.order_id, o.ordered_at, o.card_fingerprint,
                   regexp_replace(lower(normalize(o.ship_name, NFKC)), '\s', '', 'g') AS name
              FROM orders o
             WHERE o.buyer_id = c.buyer_id AND o.ship_name IS NOT NULL AND o.status <> 'canceled'
               AND o.ordered_at > c.ordered_at - interval '7 days' AND o.ordered_at <= c.ordered_at) AS sent
     WHERE name IS DISTINCT FROM c.own_name
 ) AS week
 WHERE week.names >= :names AND week.cards >= :cards AND week.orders = week.names
 ORDER BY c.ordered_at DESC, c.order_id
