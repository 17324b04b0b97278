/*
name: follow_churn
title:
  ja: フォローとフォロー解除を繰り返すスパムの疑い
  en: Suspected follow and unfollow spam
source: market
subject: account
severity: P2
owner: fraud
schedule: {every: 60s}
window: 24h
overlap: 5m
mode: review
parameters:
  follows_hour:
    default: 100
    ja: 1時間のフォロー数がこの件数以上なら検知します
    en: Finds this many follows within an hour
  follows_day:
    default: 400
    ja: 24時間のフォロー数がこの件数以上なら検知します
    en: Finds this many follows within 24 hours
  follows_week:
    default: 1500
    ja: 7日間のフォロー数がこの件数以上なら検知します
    en: Finds this many follows within 7 days
  churned_day:
    default: 30
    ja: 24時間以内に解除したフォローが、24時間でこの件数以上なら検知します
    en: Finds this many follows taken back within 24 hours, in 24 hours
  churned_week:
    default: 100
    ja: 7日以内に解除したフォローが、7日間でこの件数以上なら検知します
    en: Finds this many follows taken back within 7 days, in 7 days
  churned_month:
    default: 250
    ja: 28日以内に解除したフォローが、28日間でこの件数以上なら検知します
    en: Finds this many follows taken back within 28 days, in 28 days
  young:
    default: 7d
    ja: 登録からこの期間内のアカウントには、半分のしきい値を使います
    en: Accounts younger than this are held to half of every threshold
actions: [suspend, remove_posts]
evidence:
  follows_in_hour: {ja: 1時間のフォロー数, en: Follows within an hour, type: count}
  follows_in_day: {ja: 24時間のフォロー数, en: Follows within 24 hours, type: count}
  follows_in_week: {ja: 7日間のフォロー数, en: Follows within 7 days, type: count}
  churned_in_day: {ja: 24時間以内に解除したフォロー, en: Follows taken back within 24 hours, type: count}
  churned_in_week: {ja: 7日以内に解除したフォロー, en: Follows taken back within 7 days, type: count}
  churned_in_month: {ja: 28日以内に解除したフォロー, en: Follows taken back within 28 days, type: count}
  registered_at: {ja: アカウントの登録日時, en: Account created, type: time}
runbook:
  ja:
    - プロフィールと投稿を開き、外部サイトへの誘導がないかを確かめます。
    - 誘導やフィッシングの疑いがあれば、アカウントを利用停止にします。
    - 公式アカウントやイベントの企画など理由が分かる場合は「問題なし」を選びます。
  en:
    - Open profile and posts, and look for links that lead to other sites.
    - Where they lure or phish, suspend the account.
    - Where there is a plain reason, such as an official account or an event, choose "Not fraud".
false_positives:
  ja:
    - 公式アカウントや特集の担当者
    - イベント当日に出展者をまとめてフォローした参加者
    - フォローを整理している長年の利用者
  en:
    - Official accounts and editors of features
    - A visitor who follows all exhibitors on the day of an event
    - A member of many years who tidies up
daily_cap: 100
*/
WITH touched AS MATERIALIZED (
    SELECT follower_id, min(occurred_at) AS since
      FROM follow_events
     WHERE occurred_at >= :changed_since AND follower_id <> ALL (:allow_accounts)
     GROUP BY follower_id
),
-- All that these accounts did within reach of what is new: two windows of four weeks, as what was
-- taken back within the last one may have been followed in the one before. Patient churn shows only there.
events AS MATERIALIZED (
    SELECT e.follower_id, e.followee_id, e.kind, e.occurred_at, e.event_id,
           lag(e.kind) OVER same_target AS kind_before,
           e.occurred_at - lag(e.occurred_at) OVER same_target AS after
      FROM touched t
      JOIN follow_events e ON e.follower_id = t.follower_id
       AND e.occurred_at > t.since - interval '56 days'
    WINDOW same_target AS (PARTITION BY e.follower_id, e.followee_id
                           ORDER BY e.occurred_at, e.kind, e.event_id)
),
marked AS MATERIALIZED (
    SELECT follower_id, event_id, occurred_at, kind = 'follow' AS is_follow,
           kind = 'unfollow' AND kind_before = 'follow' AND after <= interval '24 hours' AS churned_fast,
           kind = 'unfollow' AND kind_before = 'follow' AND after <= interval '7 days' AS churned,
           kind = 'unfollow' AND kind_before = 'follow' AND after <= interval '28 days' AS churned_late
      FROM events
),
-- As of each event, looking back only.
counted AS MATERIALIZED (
    SELECT follower_id, event_id, occurred_at,
           count(*) FILTER (WHERE is_follow) OVER hour AS follows_in_hour,
           count(*) FILTER (WHERE is_follow) OVER day AS follows_in_day,
           count(*) FILTER (WHERE is_follow) OVER week AS follows_in_week,
           count(*) FILTER (WHERE churned_fast) OVER day AS churned_in_day,
           count(*) FILTER (WHERE churned) OVER week AS churned_in_week,
           count(*) FILTER (WHERE churned_late) OVER month AS churned_in_month
      FROM marked
    WINDOW hour AS (PARTITION BY follower_id ORDER BY occurred_at
                    RANGE BETWEEN interval '1 hour' PRECEDING AND CURRENT ROW),
           day AS (PARTITION BY follower_id ORDER BY occurred_at
                   RANGE BETWEEN interval '24 hours' PRECEDING AND CURRENT ROW),
           week AS (PARTITION BY follower_id ORDER BY occurred_at
                    RANGE BETWEEN interval '7 days' PRECEDING AND CURRENT ROW),
           month AS (PARTITION BY follower_id ORDER BY occurred_at
                     RANGE BETWEEN interval '28 days' PRECEDING AND CURRENT ROW)
),
judged AS MATERIALIZED (
    SELECT c.*, a.created_at AS registered_at,
           CASE WHEN a.created_at > c.occurred_at - :young THEN 2 ELSE 1 END AS strictness
      FROM counted c
      JOIN touched t ON t.follower_id = c.follower_id AND c.occurred_at >= t.since
      LEFT JOIN accounts a ON a.account_id = c.follower_id
     WHERE a.status IS DISTINCT FROM 'suspended' AND a.status IS DISTINCT FROM 'closed'
)
-- One finding an account and day, about its latest event that is too much.
SELECT DISTINCT ON (follower_id, date_trunc('day', occurred_at, 'UTC'))
       follower_id AS subject_id, occurred_at,
       to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS window_key,
       ARRAY[follower_id] AS account_ids,
       ARRAY(SELECT p.post_id FROM posts p
              WHERE p.account_id = follower_id AND cardinality(p.urls) > 0
              ORDER BY p.created_at DESC, p.post_id LIMIT 50) AS post_ids,
       follows_in_hour, follows_in_day, follows_in_week, churned_in_day, churned_in_week, churned_in_month,
       registered_at
  FROM judged
 WHERE follows_in_hour * strictness >= :follows_hour
    OR follows_in_day * strictness >= :follows_day
    OR follows_in_week * strictness >= :follows_week
    OR churned_in_day * strictness >= :churned_day
    OR churned_in_week * strictness >= :churned_week
    OR churned_in_month * strictness >= :churned_month
 ORDER BY follower_id, date_trunc('day', occurred_at, 'UTC'), occurred_at DESC, event_id
