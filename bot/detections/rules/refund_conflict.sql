/*
name: refund_conflict
title:
  ja: 返金の重複・矛盾の疑い
  en: Refunds that contradict each other
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 60s}
window: 30d
overlap: 10m
mode: review
parameters:
  reversible:
    default: 180d
    ja: カードへの返金ができる期間。これより古い注文は銀行振込でも検知しません
    en: How long a card payment can be given back to the card; after it a bank transfer is no wonder
  refund_categories:
    default: [refund, 返金, returns, not_received]
    ja: 返金の問い合わせを表す分類
    en: Categories of inquiries that are about a refund
  refund_words:
    default: [返金, 払い戻し, 払戻, 返して, refund, money back, reimburse]
    ja: 返金の問い合わせを表す言葉
    en: Words of an inquiry about a refund
  bank_words:
    default: [振込, 振り込, 銀行口座, 口座へ, 口座に, bank account, bank transfer, wire transfer, iban]
    ja: 銀行振込での返金を求める言葉
    en: Words that ask for the money by bank transfer
actions: [hold, suspend]
evidence:
  conflicts:
    ja: 矛盾
    en: What contradicts
    type: text
    words:
      bank_for_card: {ja: カード払いの注文に銀行振込で返金, en: paid by card and refunded by bank transfer}
      twice: {ja: カードと銀行振込の両方で返金, en: refunded both the way it was paid and by bank transfer}
      disputed: {ja: 返金とチャージバックが重なっている, en: refunded and taken back by the bank as well}
      too_much: {ja: 支払額を超える返金, en: more refunded than was paid}
      asks_for_bank: {ja: カード払いなのに銀行振込での返金を求めている, en: paid by card but asks for a bank transfer}
  paid: {ja: 支払額, en: Paid, type: money}
  refunded: {ja: 返金額の合計, en: Refunded in all, type: money}
  refunded_by_bank: {ja: うち銀行振込, en: Of it by bank transfer, type: money}
  taken_back_at: {ja: チャージバック・異議の日時, en: Disputed or charged back, type: time}
runbook:
  ja:
    - 経理に連絡し、まだ送金していない返金を止めます。
    - カードへの返金・チャージバック・銀行振込のどれが済んでいるかを突き合わせます。
    - カードの解約などの理由が確かめられれば、別の人の承認を得て振り込み、「問題なし」を選びます。
  en:
    - Tell accounting, and stop the transfers that have not left yet.
    - Compare what went back to the card, what the bank took back, and what was transferred.
    - If the card was really cancelled or the like, transfer with a second person's approval and choose "Not fraud".
false_positives:
  ja:
    - 有効期限切れや解約で、カードに返金できない購入者
    - 一部返金のあとの、理由のある追加の返金
    - 返金のあとに行き違いで届いたチャージバック
  en:
    - A buyer whose card expired or was cancelled
    - A second refund for a reason, after one in part
    - A chargeback that crossed with the refund
daily_cap: 100
*/
-- Letters that want the money by bank; of the many others nothing is looked up.
WITH wishes AS MATERIALIZED (
    SELECT i.inquiry_id, i.account_id, i.created_at,
           ' ' || regexp_replace(concat_ws(' ', i.subject, i.body), '[^0-9A-Za-z_-]', ' ', 'g') || ' ' AS ids
      FROM inquiries i
     CROSS JOIN LATERAL (SELECT lower(concat_ws(' ', i.subject, i.body)) AS said) AS letter
     WHERE i.created_at >= :changed_since AND i.created_at >= :window_start AND i.account_id IS NOT NULL
       AND EXISTS (SELECT FROM unnest(:bank_words) AS w(word) WHERE strpos(said, lower(word)) > 0)
       AND (i.category = ANY (:refund_categories)
         OR EXISTS (SELECT FROM unnest(:refund_words) AS w(word) WHERE strpos(said, lower(word)) > 0))
),
-- Which order they mean: those that they name, else the latest one that was paid by card.
wished AS MATERIALIZED (
    SELECT m.order_id, max(w.created_at) AS at
      FROM wishes w
     CROSS JOIN LATERAL (
        SELECT o.order_id,
               strpos(w.ids, ' ' || regexp_replace(o.order_id, '[^0-9A-Za-z_-]', ' ', 'g') || ' ') > 0 AS is_named,
               rank() OVER (ORDER BY o.ordered_at DESC, o.order_id) AS nth,
               bool_or(strpos(w.ids, ' ' || regexp_replace(o.order_id, '[^0-9A-Za-z_-]', ' ', 'g') || ' ') > 0) OVER ()
                 AS any_named
          FROM orders o
         WHERE o.buyer_id = w.account_id AND o.payment_method = 'card' AND o.paid_at IS NOT NULL
           AND o.ordered_at <= w.created_at AND o.ordered_at > w.created_at - :reversible
     ) AS m
     WHERE m.is_named OR (m.nth = 1 AND NOT m.any_named)
     GROUP BY 1
),
touched AS MATERIALIZED (
    SELECT order_id FROM refunds WHERE updated_at >= :changed_since AND updated_at >= :window_start
     UNION SELECT order_id FROM chargebacks WHERE received_at >= :changed_since AND received_at >= :window_start
     UNION SELECT order_id FROM fraud_warnings
            WHERE received_at >= :changed_since AND received_at >= :window_start AND kind = 'dispute'
     UNION SELECT order_id FROM wished
),
judged AS MATERIALIZED (
    SELECT o.order_id, o.buyer_id, o.currency, net.paid, back.*, taken.taken_back_at, w.at AS wished_at,
           o.payment_method = 'card' AND back.last_by_bank <= o.paid_at + :reversible AS is_bank_for_card,
           o.payment_method = 'card' AND w.at IS NOT NULL AS is_wish
      FROM touched t
      JOIN orders o USING (order_id)
      LEFT JOIN wished w USING (order_id)
     CROSS JOIN LATERAL (SELECT o.total_amount - coalesce(o.discount_amount, 0)
                                - coalesce(o.points_amount, 0) AS paid) AS net
     -- A refund in another currency than the order's cannot be compared and does not count.
     CROSS JOIN LATERAL (
        SELECT sum(amount)::bigint AS refunded, max(created_at) AS last_at,
               (sum(amount) FILTER (WHERE route = 'external'))::bigint AS by_bank,
               max(created_at) FILTER (WHERE route = 'external') AS last_by_bank,
               bool_or(route = 'original') AS to_card
          FROM refunds r
         WHERE r.order_id = o.order_id AND r.state <> 'failed' AND r.currency = o.currency
     ) AS back
     CROSS JOIN LATERAL (
        SELECT max(received_at) AS taken_back_at
          FROM (SELECT received_at FROM chargebacks c WHERE c.order_id = o.order_id
                 UNION ALL
                SELECT received_at FROM fraud_warnings f WHERE f.order_id = o.order_id AND f.kind = 'dispute') AS both_kinds
     ) AS taken
     WHERE o.buyer_id <> ALL (:allow_accounts)
),
found AS (
    SELECT j.*, array_remove(ARRAY[
             CASE WHEN j.is_bank_for_card THEN 'bank_for_card' END,
             CASE WHEN j.by_bank IS NOT NULL AND j.to_card THEN 'twice' END,
             CASE WHEN j.refunded IS NOT NULL AND j.taken_back_at IS NOT NULL THEN 'disputed' END,
             CASE WHEN j.refunded > j.paid THEN 'too_much' END,
             CASE WHEN j.is_wish THEN 'asks_for_bank' END], NULL) AS conflicts
      FROM judged j
)
-- One finding an order and set of contradictions: a further one is told again.
SELECT f.order_id AS subject_id, greatest(f.last_at, f.taken_back_at, f.wished_at) AS occurred_at,
       f.paid AS amount, f.currency, array_to_string(f.conflicts, ' ') AS window_key,
       ARRAY[f.buyer_id] AS account_ids, f.conflicts, f.paid, f.refunded, f.by_bank AS refunded_by_bank,
       f.taken_back_at
  FROM found f
 WHERE f.conflicts <> '{}'
 ORDER BY occurred_at DESC, f.order_id
