/*
name: signup_to_purchase
title:
  ja: 登録から購入までが速すぎる購入者の疑い
  en: Suspected automated sign-up and purchase
source: market
subject: order
severity: P3
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
mode: review
parameters:
  seconds:
    default: 60
    ja: 登録からこの秒数以内の注文を検知します
    en: Finds an order this many seconds after sign-up, or sooner
actions: [hold, cancel]
evidence:
  seconds_after: {ja: 登録から注文までの秒数, en: Seconds from sign-up to order, type: count}
  buyer_since: {ja: 購入者の登録日時, en: Buyer signed up, type: time}
runbook:
  ja:
    - 購入者の登録情報(名前・メールアドレスの形)と、同じネットワークからの登録を確認します。
    - 機械的な登録と判断した場合は、注文を保留し、同じ購入者の他の注文も確認します。
  en:
    - Look at the registration (name, form of the mail address) and at other sign-ups from the same network.
    - Where a program signed up, hold the order and look at the buyer's other orders.
false_positives:
  ja:
    - 会員登録と購入を1画面で済ませられる店舗での通常の購入
    - ブラウザーの自動入力を使った購入者
  en:
    - An ordinary purchase where sign-up and checkout are one page
    - A buyer whose browser fills in forms
daily_cap: 200
*/
SELECT o.order_id AS subject_id, o.ordered_at AS occurred_at,
       o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount, o.currency,
       ARRAY[o.buyer_id] AS account_ids,
       extract(epoch FROM o.ordered_at - b.created_at)::integer AS seconds_after, b.created_at AS buyer_since
  FROM orders o
  JOIN accounts b ON b.account_id = o.buyer_id
 WHERE o.updated_at >= :changed_since AND o.ordered_at >= :window_start AND o.status <> 'canceled'
   AND o.payment_method = 'card'
   AND o.ordered_at BETWEEN b.created_at AND b.created_at + make_interval(secs => :seconds)
   AND o.buyer_id <> ALL (:allow_accounts)
 ORDER BY o.ordered_at DESC, o.order_id
