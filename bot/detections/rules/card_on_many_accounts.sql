/*
name: card_on_many_accounts
title:
  ja: 1枚のカードを多数のアカウントで使用している疑い
  en: Suspected use of one card by many accounts
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 30s}
window: 7d
overlap: 5m
mode: review
parameters:
  accounts:
    default: 3
    ja: 7日間に同じカードで注文したアカウントがこの数以上なら検知します
    en: Finds a card with which this many accounts ordered within 7 days
  known_after:
    default: 30d
    ja: 全員が登録からこの期間を過ぎ、配送先も1か所なら、1枚のカードを使う家族と見て検知しません
    en: Takes them for a family on one card where all signed up longer ago than this and ship to one place
  prior_frauds:
    default: 1
    ja: 同じカードに不正のチャージバックがこの件数以上あれば検知します
    en: Finds a card with this many chargebacks for fraud before
actions: [hold, cancel]
evidence:
  accounts_in_week: {ja: 7日以内に使ったアカウント, en: Accounts within 7 days, type: count}
  orders_in_week: {ja: 7日以内の注文, en: Orders within 7 days, type: count}
  addresses: {ja: 配送先の数, en: Ship-to addresses, type: count}
  chargebacks_before: {ja: 過去の不正チャージバック, en: Chargebacks for fraud before, type: count}
runbook:
  ja:
    - 発送と振込を保留し、同じカードの注文をすべて確認します。
    - 購入者どうしが家族などのつながりを持つかを、名前と配送先で確かめます。
    - 盗難カードの疑いが残る場合は、注文を強制キャンセルして購入者を利用停止にします。
  en:
    - Hold shipment and payout, and look at every order with the same card.
    - See by names and addresses whether the buyers belong together, such as a family.
    - If a stolen card remains likely, force-cancel the orders and suspend the buyers.
false_positives:
  ja:
    - 1枚のカードを使う家族
    - 会社のカードで注文する同僚
  en:
    - A family on one card
    - Colleagues on a company's card
daily_cap: 200
*/
WITH touched AS MATERIALIZED (
    SELECT card_fingerprint AS card, min(ordered_at) AS since
      FROM orders
     WHERE updated_at >= :changed_since AND ordered_at >= :window_start AND card_fingerprint IS NOT NULL
       AND card_fingerprint <> ALL (:allow_cards)
     GROUP BY card_fingerprint
),
-- Orders of these cards from then on; what came late also speaks against the ones after it.
candidates AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.seller_id, o.card_fingerprint AS card, o.ordered_at, o.currency,
           o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount
      FROM touched t
      JOIN orders o ON o.card_fingerprint = t.card AND o.ordered_at >= t.since
     WHERE o.status <> 'canceled' AND o.buyer_id <> ALL (:allow_accounts)
)
SELECT c.order_id AS subject_id, c.ordered_at AS occurred_at, c.amount, c.currency,
       used.account_ids, used.order_ids,
       used.accounts AS accounts_in_week, used.orders AS orders_in_week, used.addresses,
       before.frauds AS chargebacks_before
  FROM candidates c
 -- Who used the card until this order came, looking back only.
 CROSS JOIN LATERAL (
    SELECT count(DISTINCT o.buyer_id) AS accounts, count(*) AS orders,
           count(DISTINCT o.ship_postal_code) AS addresses,
           count(*) FILTER (WHERE b.created_at IS NULL OR b.created_at > c.ordered_at - :known_after) AS unknown,
           array_agg(DISTINCT o.buyer_id) AS account_ids,
           (array_agg(o.order_id ORDER BY o.ordered_at DESC, o.order_id)
              FILTER (WHERE o.status IN ('pending', 'paid')))[1:50] AS order_ids
      FROM orders o
      LEFT JOIN accounts b ON b.account_id = o.buyer_id
     WHERE o.card_fingerprint = c.card AND o.status <> 'canceled'
       AND o.ordered_at > c.ordered_at - interval '7 days' AND o.ordered_at <= c.ordered_at
 ) AS used
 CROSS JOIN LATERAL (
    SELECT count(*) AS frauds
      FROM orders o JOIN chargebacks b ON b.order_id = o.order_id
     WHERE o.card_fingerprint = c.card AND o.order_id <> c.order_id
       AND b.reason = 'fraud' AND b.received_at <= c.ordered_at
 ) AS before
 WHERE used.accounts >= :accounts AND (used.unknown > 0 OR used.addresses > 1) OR before.frauds >= :prior_frauds
 ORDER BY c.ordered_at DESC, c.order_id
