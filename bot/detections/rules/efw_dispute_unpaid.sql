/*
name: efw_dispute_unpaid
title:
  ja: 振込前の注文に対する不正利用の通報
  en: Warning of fraud on an order not yet paid out
source: market
subject: order
severity: P1
owner: fraud
schedule: {every: 30s}
window: 7d
overlap: 5m
mode: review
actions: [hold, cancel]
evidence:
  what: {ja: 通報の種類, en: What came, type: text, words: {early_fraud_warning: {ja: 早期不正警告, en: early fraud warning}, issuer_inquiry: {ja: カード会社からの照会, en: issuer's inquiry}, dispute: {ja: 異議申し立て, en: dispute}, chargeback: {ja: チャージバック, en: chargeback}}}
  received_at: {ja: 通報の日時, en: Received, type: time}
  payout_at: {ja: 振込予定, en: Payout, type: time}
runbook:
  ja:
    - 振込を止めるため、発送と振込を保留します。
    - 同じカード・購入者の未発送の注文を確認し、不正利用であれば強制キャンセルします。
  en:
    - Hold shipment and payout before the seller is paid.
    - Look at the unshipped orders of the same card and buyer, and force-cancel where it was fraud.
false_positives:
  ja:
    - 家族の購入に気づかなかったカード名義人の申し立て(フレンドリー詐欺)
    - 請求名に見覚えがないための照会
  en:
    - A card holder who did not know of the family's purchase (friendly fraud)
    - An inquiry because the name on the bill was not recognised
daily_cap: 200
*/
WITH said AS (
    SELECT order_id, kind AS what, received_at
      FROM fraud_warnings WHERE received_at >= :changed_since AND received_at >= :window_start
     UNION ALL
    SELECT order_id, 'chargeback', received_at
      FROM chargebacks
     WHERE received_at >= :changed_since AND received_at >= :window_start AND reason = 'fraud'
),
first AS (
    SELECT order_id, array_agg(DISTINCT what) AS what, min(received_at) AS received_at FROM said GROUP BY order_id
)
SELECT o.order_id AS subject_id, f.received_at AS occurred_at, o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount, o.currency,
       ARRAY[o.buyer_id] AS account_ids, f.what, f.received_at, o.payout_at
  FROM first f
  JOIN orders o ON o.order_id = f.order_id
 -- Something can still be kept: the seller was not paid.
 WHERE o.status <> 'canceled' AND (o.payout_at IS NULL OR o.payout_at > :now)
   AND o.buyer_id <> ALL (:allow_accounts)
 ORDER BY f.received_at DESC, o.order_id
