/*
name: instant_complete
title:
  ja: 発送を装った取引完了の疑い
  en: Suspected sham delivery
source: market
subject: order
severity: P2
owner: fraud
schedule: {every: 30s}
window: 7d
overlap: 5m
mode: review
parameters:
  ship_within:
    default: 10m
    ja: 支払いからこの時間内の発送を検知の対象にします
    en: Looks at orders shipped within this time of payment
  deliver_within:
    default: 24h
    ja: 発送からこの時間内に受け取られた注文を検知します
    en: Finds those received within this time of shipment
  seller_age:
    default: 30d
    ja: 登録からこの期間内の販売者に限ります
    en: Of sellers who signed up within this time
  amount:
    default: 5000
    ja: この金額(最小通貨単位)以上の注文に限ります
    en: Of this amount (in minor units) or more
actions: [hold, cancel]
evidence:
  seller_since: {ja: 販売者の登録日時, en: Seller signed up, type: time}
  shipped_after_s: {ja: 支払いから発送までの秒数, en: Seconds from payment to shipment, type: count}
  received_after_s: {ja: 発送から受け取りまでの秒数, en: Seconds from shipment to receipt, type: count}
  payout_at: {ja: 振込予定, en: Payout, type: time}
runbook:
  ja:
    - 振込を保留し、追跡番号のない発送が他の注文にもないかを確認します。
    - 購入者と販売者の登録情報が似ている場合は、自作自演を疑います。
  en:
    - Hold the payout, and see whether other orders were shipped without tracking as well.
    - Where buyer and seller resemble each other, suspect self-dealing.
false_positives:
  ja:
    - 手渡しした作品
    - ダウンロード販売などのデジタル商品
  en:
    - Something handed over in person
    - Digital goods
daily_cap: 200
*/
SELECT o.order_id AS subject_id, o.delivered_at AS occurred_at, o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount, o.currency,
       ARRAY[o.seller_id, o.buyer_id] AS account_ids,
       s.created_at AS seller_since,
       extract(epoch FROM o.shipped_at - o.paid_at)::bigint AS shipped_after_s,
       extract(epoch FROM o.delivered_at - o.shipped_at)::bigint AS received_after_s, o.payout_at
  FROM orders o
  JOIN accounts s ON s.account_id = o.seller_id
 WHERE o.updated_at >= :changed_since AND o.delivered_at >= :window_start
   AND o.status IN ('delivered', 'completed') AND o.tracking_number IS NULL
   AND o.shipped_at < o.paid_at + :ship_within
   AND o.delivered_at < o.shipped_at + :deliver_within
   AND s.created_at > o.paid_at - :seller_age
   AND o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) >= :amount
   AND o.buyer_id <> ALL (:allow_accounts) AND o.seller_id <> ALL (:allow_accounts)
 ORDER BY o.delivered_at DESC, o.order_id
