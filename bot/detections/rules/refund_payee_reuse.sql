/*
name: refund_payee_reuse
title:
  ja: 返金の悪用の疑い(同一人物への返金・高い返金率)
  en: Suspected refund abuse by one person, or by one who asks for most of it back
source: market
subject: account
severity: P2
owner: fraud
schedule: {every: 60s}
window: 90d
overlap: 10m
mode: review
parameters:
  buyers:
    default: 2
    ja: 口座・カード・端末・配送先が同じ購入者のうち、返金を受けるか求めた人がこの人数以上なら検知します
    en: Finds this many buyers with one payout account, card, device or door who had or want money back
  crowd:
    default: 10
    ja: 端末や配送先などを共有する購入者がこれより多ければ、つながりとみなしません
    en: What more buyers than this share makes nobody the same person
  asked_back:
    default: 3
    ja: 1人の購入者で、返金を受けるか求めた注文がこの件数以上なら検知します
    en: Of one buyer, finds this many orders with money back, had or wanted
  orders:
    default: 5
    ja: その条件は、注文がこの件数以上の購入者に限ります
    en: That only where the buyer ordered at least this often
  share:
    default: 30
    ja: その条件は、返金がこの割合(%)以上の場合に限ります
    en: And only where it is this many per cent of the orders
  reach:
    default: 90d
    ja: この期間内の注文と返金を数えます
    en: Counts orders and refunds within this time
  letters:
    default: 14d
    ja: 返金を求める問い合わせは、この期間内のものを数えます
    en: Counts letters that ask for money back within this time
  refund_categories:
    default: [refund, 返金, returns, not_received]
    ja: 返金の問い合わせを表す分類
    en: Categories of inquiries that are about a refund
  refund_words:
    default: [返金, 払い戻し, 払戻, 届かない, 届きません, 届いていません, refund, money back, not arrived, never arrived]
    ja: 返金の問い合わせを表す言葉
    en: Words of an inquiry about a refund
actions: [hold, suspend]
evidence:
  shared:
    ja: 共通するもの
    en: In common
    type: text
    words:
      payout: {ja: 振込先口座, en: payout account}
      card: {ja: カード, en: card}
      device: {ja: 端末, en: device}
      door: {ja: 配送先, en: ship-to address}
  buyers_linked: {ja: 返金を受けるか求めた購入者, en: Buyers who had or want money back, type: count}
  orders_asked_back: {ja: この購入者の返金の注文, en: Orders of this buyer with money back, type: count}
  orders_in_reach: {ja: この購入者の注文, en: Orders of this buyer, type: count}
  sellers_concerned: {ja: 返金の相手の販売者, en: Sellers they were bought from, type: count}
  refunded_of_seller: {ja: 最も多い販売者で返金された注文の割合(%), en: Share refunded of the seller concerned most in per cent, type: count}
runbook:
  ja:
    - 返金の理由と配達の記録を見比べ、同じ人物かを管理画面で確かめます。
    - 振り込む前の返金は経理に連絡して止めます。
    - 悪用とみられる場合は利用停止にし、販売者の側に原因がある場合は「問題なし」を選びます。
  en:
    - Compare what they say with the delivery, and see in the back office whether it is one person.
    - Tell accounting to stop what was not yet transferred.
    - If it is abuse, suspend the accounts; if the cause is the seller, choose "Not fraud".
false_positives:
  ja:
    - 同じ家に住む家族
    - 発送しない・壊れ物の多い販売者から買った購入者
    - 荷物の紛失が続いた地域
  en:
    - A family in one house
    - Buyers of a seller who does not ship or packs badly
    - A neighbourhood where parcels go missing
daily_cap: 100
*/
-- Whose money went back, or who asked for it, just now. A cancellation before shipment is nobody's trick.
WITH touched AS MATERIALIZED (
    SELECT o.buyer_id AS account_id
      FROM refunds r JOIN orders o USING (order_id)
     WHERE r.updated_at >= :changed_since AND r.created_at >= :window_start AND r.state <> 'failed'
       AND (r.route = 'external' OR r.created_at > o.shipped_at)
     UNION
    SELECT i.account_id
      FROM inquiries i
     CROSS JOIN LATERAL (SELECT lower(concat_ws(' ', i.subject, i.body)) AS said) AS letter
     WHERE i.created_at >= :changed_since AND i.created_at >= :window_start
       AND (i.category = ANY (:refund_categories)
         OR EXISTS (SELECT FROM unnest(:refund_words) AS w(word) WHERE strpos(said, lower(word)) > 0))
),
suspects AS MATERIALIZED (
    SELECT t.account_id FROM touched t WHERE t.account_id <> ALL (:allow_accounts)
),
-- What they ordered with, and where to.
traits AS MATERIALIZED (
    SELECT s.account_id, x.trait, x.value, NULL::text AS postal
      FROM suspects s JOIN orders o ON o.buyer_id = s.account_id AND o.ordered_at > :window_start - :reach
     CROSS JOIN LATERAL (VALUES ('card', o.card_fingerprint), ('device', o.device_id)) AS x(trait, value)
     WHERE x.value IS NOT NULL AND NOT (x.trait = 'card' AND x.value = ANY (:allow_cards))
     UNION
    SELECT s.account_id, 'door', regexp_replace(lower(normalize(o.ship_address, NFKC)), '\s', '', 'g'), o.ship_postal_code
      FROM suspects s JOIN orders o ON o.buyer_id = s.account_id AND o.ordered_at > :window_start - :reach
     WHERE o.ship_address IS NOT NULL AND o.ship_postal_code IS NOT NULL AND o.ship_address <> ALL (:allow_addresses)
     UNION
    SELECT s.account_id, 'payout', a.payout_account_hash, NULL
      FROM suspects s JOIN accounts a USING (account_id) WHERE a.payout_account_hash IS NOT NULL
     UNION
    SELECT s.account_id, 'device', a.signup_device_id, NULL
      FROM suspects s JOIN accounts a USING (account_id) WHERE a.signup_device_id IS NOT NULL
),
-- Whoever else showed the same, looked up from the trait's side.
sharing AS MATERIALIZED (
    SELECT t.account_id, o.buyer_id AS other, t.trait, t.value
             FROM traits t JOIN orders o ON o.card_fingerprint = t.value AND o.ordered_at > :window_start - :reach
            WHERE t.trait = 'card'
     UNION SELECT t.account_id, o.buyer_id, t.trait, t.value
             FROM traits t JOIN orders o ON o.device_id = t.value AND o.ordered_at > :window_start - :reach
            WHERE t.trait = 'device'
     UNION SELECT t.account_id, o.buyer_id, t.trait, t.value
             FROM traits t JOIN orders o ON o.ship_postal_code = t.postal AND o.ordered_at > :window_start - :reach
            WHERE t.trait = 'door' AND regexp_replace(lower(normalize(o.ship_address, NFKC)), '\s', '', 'g') = t.value
     UNION SELECT t.account_id, b.account_id, t.trait, t.value
             FROM traits t JOIN accounts b ON b.payout_account_hash = t.value WHERE t.trait = 'payout'
     UNION SELECT t.account_id, b.account_id, t.trait, t.value
             FROM traits t JOIN accounts b ON b.signup_device_id = t.value WHERE t.trait = 'device'
),
-- An office, a dormitory or a terminal that everybody uses makes nobody the same person.
linked AS MATERIALIZED (
    SELECT account_id, account_id AS other, NULL::text AS trait FROM suspects
     UNION
    SELECT s.account_id, s.other, s.trait
      FROM sharing s
      JOIN (SELECT account_id, trait, value FROM sharing GROUP BY 1, 2, 3
            HAVING count(DISTINCT other) <= :crowd) AS few USING (account_id, trait, value)
),
everybody AS MATERIALIZED (
    SELECT DISTINCT other AS buyer_id FROM linked WHERE other <> ALL (:allow_accounts)
),
-- Their letters about refunds; one that names none of their orders is about the latest.
letters AS MATERIALIZED (
    SELECT i.account_id, i.created_at,
           ' ' || regexp_replace(concat_ws(' ', i.subject, i.body), '[^0-9A-Za-z_-]', ' ', 'g') || ' ' AS ids
      FROM inquiries i
      JOIN everybody e ON e.buyer_id = i.account_id
     CROSS JOIN LATERAL (SELECT lower(concat_ws(' ', i.subject, i.body)) AS said) AS letter
     WHERE i.created_at > greatest(:changed_since, :window_start) - :letters
       AND (i.category = ANY (:refund_categories)
         OR EXISTS (SELECT FROM unnest(:refund_words) AS w(word) WHERE strpos(said, lower(word)) > 0))
),
bought AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.seller_id, o.ordered_at, o.shipped_at, o.currency,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount
      FROM everybody e
      JOIN orders o ON o.buyer_id = e.buyer_id AND o.ordered_at > :window_start - :reach
     WHERE o.paid_at IS NOT NULL
),
claimed AS MATERIALIZED (
    SELECT m.order_id, min(l.created_at) AS at
      FROM letters l
     CROSS JOIN LATERAL (
        SELECT b.order_id, named.is_named, rank() OVER (ORDER BY b.ordered_at DESC, b.order_id) AS nth,
               bool_or(named.is_named) OVER () AS any_named
          FROM bought b
         CROSS JOIN LATERAL (SELECT strpos(l.ids, ' ' || regexp_replace(b.order_id, '[^0-9A-Za-z_-]', ' ', 'g')
                                                  || ' ') > 0 AS is_named) AS named
         WHERE b.buyer_id = l.account_id AND b.ordered_at <= l.created_at AND b.ordered_at > l.created_at - :reach
     ) AS m
     -- A letter about what was not shipped yet asks where it is.
      JOIN bought b ON b.order_id = m.order_id AND b.shipped_at < l.created_at
     WHERE m.is_named OR (m.nth = 1 AND NOT m.any_named)
     GROUP BY 1
),
asked AS MATERIALIZED (
    SELECT b.*, least(c.at, r.at) AS asked_at, CASE WHEN r.at IS NULL THEN :letters ELSE :reach END AS lasts
      FROM bought b
      LEFT JOIN claimed c USING (order_id)
     CROSS JOIN LATERAL (
        SELECT min(r.created_at) AS at FROM refunds r
         WHERE r.order_id = b.order_id AND r.state <> 'failed'
           AND (r.route = 'external' OR r.created_at > b.shipped_at)
     ) AS r
     WHERE c.at IS NOT NULL OR r.at IS NOT NULL
),
-- As of each time that money was asked back, looking back only.
own AS MATERIALIZED (
    SELECT a.buyer_id AS account_id, a.asked_at, n.asked_back, n.sellers, n.seller_id, b.orders
      FROM asked a
      JOIN suspects s ON s.account_id = a.buyer_id
     CROSS JOIN LATERAL (
        SELECT count(*) AS asked_back, count(DISTINCT x.seller_id) AS sellers,
               mode() WITHIN GROUP (ORDER BY x.seller_id) AS seller_id
          FROM asked x
         WHERE x.buyer_id = a.buyer_id AND x.asked_at <= a.asked_at AND x.asked_at > a.asked_at - x.lasts
     ) AS n
     CROSS JOIN LATERAL (
        SELECT count(*) AS orders FROM bought y
         WHERE y.buyer_id = a.buyer_id AND y.ordered_at <= a.asked_at AND y.ordered_at > a.asked_at - :reach
     ) AS b
),
rings AS MATERIALIZED (
    SELECT a.account_id, a.asked_at, count(DISTINCT l.other) AS buyers,
           array_agg(DISTINCT l.trait) FILTER (WHERE l.trait IS NOT NULL) AS shared,
           array_agg(DISTINCT l.other) AS ids
      FROM own a
      JOIN linked l ON l.account_id = a.account_id AND (l.trait IS NOT NULL OR l.other = a.account_id)
     WHERE EXISTS (SELECT FROM asked x
                    WHERE x.buyer_id = l.other AND x.asked_at <= a.asked_at AND x.asked_at > a.asked_at - x.lasts)
       AND NOT (l.other = a.account_id AND l.trait IS NOT NULL)
     GROUP BY 1, 2
),
found AS MATERIALIZED (
    SELECT DISTINCT ON (o.account_id, date_trunc('day', o.asked_at, 'UTC'))
           o.*, r.buyers, CASE WHEN r.buyers >= :buyers THEN r.shared END AS shared,
           CASE WHEN r.buyers >= :buyers THEN r.ids ELSE ARRAY[o.account_id] END AS ids
      FROM own o
      JOIN rings r USING (account_id, asked_at)
     WHERE r.buyers >= :buyers
        OR (o.asked_back >= :asked_back AND o.orders >= :orders AND 100 * o.asked_back >= :share * o.orders
            AND o.sellers >= 2)
     ORDER BY o.account_id, date_trunc('day', o.asked_at, 'UTC'), r.buyers DESC, o.asked_at DESC
),
-- Where several accounts are one person the oldest of them stands for all.
persons AS MATERIALIZED (
    SELECT f.*, date_trunc('day', f.asked_at, 'UTC') AS day,
           (SELECT i.id FROM unnest(f.ids) AS i(id) LEFT JOIN accounts a ON a.account_id = i.id
             ORDER BY a.created_at, i.id LIMIT 1) AS first
      FROM found f
)
-- One finding a person and day.
SELECT DISTINCT ON (f.first, f.day)
       f.first AS subject_id, f.asked_at AS occurred_at, dearest.amount, dearest.currency,
       to_char(f.day AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS window_key,
       each.ids[1:100] AS account_ids,
       ARRAY(SELECT a.order_id FROM asked a WHERE a.buyer_id = ANY (each.ids)
              ORDER BY a.amount DESC, a.order_id LIMIT 50) AS order_ids,
       f.shared, f.buyers AS buyers_linked, f.asked_back AS orders_asked_back, f.orders AS orders_in_reach,
       f.sellers AS sellers_concerned, seller.share AS refunded_of_seller
  FROM persons f
 CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT i.id) AS ids FROM persons p CROSS JOIN unnest(p.ids) AS i(id)
     WHERE p.first = f.first AND p.day = f.day
 ) AS each
 CROSS JOIN LATERAL (
    SELECT a.amount, a.currency FROM asked a WHERE a.buyer_id = ANY (each.ids)
     ORDER BY a.amount DESC, a.order_id LIMIT 1
 ) AS dearest
 -- Of a seller who is the cause many others had their money back too.
 CROSS JOIN LATERAL (
    SELECT 100 * count(*) FILTER (WHERE EXISTS (SELECT FROM refunds r
                                                 WHERE r.order_id = latest.order_id AND r.state <> 'failed'))
           / greatest(count(*), 1) AS share
      FROM (SELECT o.order_id FROM orders o
             WHERE o.seller_id = f.seller_id AND o.ordered_at > f.asked_at - :reach AND o.ordered_at <= f.asked_at
             ORDER BY o.ordered_at DESC LIMIT 200) AS latest
 ) AS seller
 ORDER BY f.first, f.day, f.buyers DESC, f.asked_at DESC, f.account_id
