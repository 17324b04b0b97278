/*
name: bulk_signup
title:
  ja: アカウントの大量登録の疑い
  en: Suspected bulk sign-up of accounts
source: market
subject: account
severity: P2
owner: fraud
schedule: {every: 60s}
window: 24h
overlap: 10m
mode: review
parameters:
  accounts:
    default: 5
    ja: 1時間に同じ端末か同じネットワークからの登録がこの件数以上なら検知します
    en: Finds this many sign-ups on one device or network within an hour
  accounts_alike:
    default: 3
    ja: メールアドレスや氏名・住所が同じ型であれば、この件数以上で検知します
    en: This many are enough where their mail addresses, names or addresses follow one template
  usual_times:
    default: 10
    ja: ネットワークだけの一致は、そこでの28日間の1時間平均のこの倍数以上の場合に限ります
    en: By the network alone only at this many times its hourly mean of 28 days
  disposable:
    default: [mailinator.com, yopmail.com, guerrillamail.com, 10minutemail.com, temp-mail.org, trashmail.com, sharklasers.com, getnada.com, maildrop.cc, dispostable.com]
    ja: 使い捨てメールのドメイン
    en: Domains of throwaway mail
actions: [hold, suspend]
evidence:
  shared:
    ja: 共通するもの
    en: In common
    type: text
    words:
      device: {ja: 端末, en: device}
      network: {ja: ネットワーク, en: network}
      mail: {ja: メールアドレスの型, en: template of the mail address}
      name: {ja: 氏名(カナ), en: name}
      address: {ja: 住所, en: address}
      disposable: {ja: 使い捨てメール, en: throwaway mail}
  signups_in_hour: {ja: 1時間の登録, en: Sign-ups within an hour, type: count}
  alike: {ja: 同じ型の登録, en: Of one template, type: count}
  throwaway: {ja: 使い捨てメールの登録, en: With throwaway mail, type: count}
  first_registered_at: {ja: 最初の登録日時, en: First of them signed up, type: time}
runbook:
  ja:
    - 氏名・住所・メールアドレスが機械的に作られていないかを管理画面で確かめます。
    - 注文や出品があれば保留し、大量登録とみられる場合はまとめて利用停止にします。
    - 講習会や共有回線など理由が分かる場合は「問題なし」を選びます。
  en:
    - See in the back office whether names, addresses and mail addresses look made by a machine.
    - Hold what they ordered, and if they were signed up in bulk, suspend all of them.
    - If there is a plain reason, such as a workshop or a shared line, choose "Not fraud".
false_positives:
  ja:
    - 講習会やイベントの会場で一斉に登録した参加者
    - 携帯電話会社の共有IPアドレス
    - 店頭の共用端末
  en:
    - Visitors of a workshop or an event who sign up together
    - A mobile carrier's shared address
    - A terminal in a shop that everybody uses
daily_cap: 100
*/
-- Sign-ups of the hour before what is new: an hour's, however long the history.
WITH recent AS MATERIALIZED (
    SELECT a.account_id, a.created_at, a.created_at >= :changed_since AS is_new, a.signup_device_id,
           network(set_masklen(a.signup_ip, CASE family(a.signup_ip) WHEN 4 THEN 24 ELSE 64 END)) AS net,
           -- user1@, user.2@ and user+3@ are one template; digits alone are a telephone number.
           nullif(regexp_replace(split_part(split_part(lower(a.email), '@', 1), '+', 1), '[0-9._-]', '', 'g'), '')
             || '@' || split_part(lower(a.email), '@', 2) AS mail,
           split_part(lower(a.email), '@', 2) = ANY (:disposable) AS disposable,
           nullif(regexp_replace(coalesce(a.full_name_kana, a.full_name), '\s', '', 'g'), '') AS name,
           nullif(regexp_replace(a.address, '\s', '', 'g'), '') AS address
      FROM accounts a
     WHERE a.created_at > greatest(:changed_since, :window_start) - interval '1 hour'
       AND a.account_id <> ALL (:allow_accounts)
),
grouped AS MATERIALIZED (
    SELECT 'device' AS what, 'device ' || signup_device_id AS cohort, r.* FROM recent r
     WHERE signup_device_id IS NOT NULL
     UNION ALL
    SELECT 'network', 'network ' || net::text, r.* FROM recent r WHERE net IS NOT NULL
),
crowded AS MATERIALIZED (
    SELECT g.* FROM grouped g
      JOIN (SELECT cohort FROM grouped GROUP BY cohort
            HAVING count(*) >= least(:accounts, :accounts_alike) AND bool_or(is_new)) AS many USING (cohort)
),
-- As of each sign-up, looking back an hour.
counted AS MATERIALIZED (
    SELECT e.what, e.cohort, e.net, e.account_id, e.created_at, n.*
      FROM crowded e
     CROSS JOIN LATERAL (
        SELECT count(*) AS signups, max(mails) AS mails, max(names) AS names, max(addresses) AS addresses,
               count(*) FILTER (WHERE disposable) AS throwaway
          FROM (SELECT o.disposable,
                       CASE WHEN o.mail IS NOT NULL THEN count(*) OVER (PARTITION BY o.mail) END AS mails,
                       CASE WHEN o.name IS NOT NULL THEN count(*) OVER (PARTITION BY o.name) END AS names,
                       CASE WHEN o.address IS NOT NULL THEN count(*) OVER (PARTITION BY o.address) END AS addresses
                  FROM crowded o
                 WHERE o.cohort = e.cohort
                   AND o.created_at > e.created_at - interval '1 hour' AND o.created_at <= e.created_at) AS each
     ) AS n
     WHERE e.is_new
),
-- A network is usual by what came from it in the four weeks before: a carrier has many every hour.
waves AS MATERIALIZED (
    SELECT c.*, greatest(c.mails, c.names, c.addresses, c.throwaway) AS most_alike
      FROM counted c
     WHERE greatest(c.mails, c.names, c.addresses, c.throwaway) >= :accounts_alike
        OR (c.signups >= :accounts
            AND (c.what = 'device'
              OR c.signups * 672 >= :usual_times * (
                   SELECT count(*) FROM accounts b
                    WHERE b.signup_ip >= host(c.net)::inet AND b.signup_ip <= host(broadcast(c.net))::inet
                      AND b.created_at > c.created_at - interval '28 days'
                      AND b.created_at <= c.created_at - interval '1 hour')))
),
members AS MATERIALIZED (
    SELECT w.cohort, date_trunc('day', w.created_at, 'UTC') AS day, m.account_id, m.created_at,
           max(w.created_at) AS latest
      FROM waves w
      JOIN crowded m ON m.cohort = w.cohort
       AND m.created_at > w.created_at - interval '1 hour' AND m.created_at <= w.created_at
     GROUP BY 1, 2, 3, 4
),
cohorts AS MATERIALIZED (
    SELECT cohort, day, max(latest) AS latest, min(created_at) AS first_at,
           array_agg(account_id ORDER BY created_at, account_id) AS ids
      FROM members GROUP BY 1, 2
)
-- One finding a cohort and day: its oldest account stands for all of them.
SELECT DISTINCT ON (c.cohort, c.day)
       c.ids[1] AS subject_id, c.latest AS occurred_at,
       to_char(c.day AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' ' || left(md5(c.cohort), 12) AS window_key,
       c.ids[1:200] AS account_ids,
       ARRAY(SELECT o.order_id FROM orders o
              WHERE o.buyer_id = ANY (c.ids[1:200]) AND o.status IN ('pending', 'paid')
                AND o.shipped_at IS NULL AND o.canceled_at IS NULL
              ORDER BY o.total_amount DESC, o.order_id LIMIT 50) AS order_ids,
       array_remove(ARRAY[w.what, CASE WHEN w.mails >= :accounts_alike THEN 'mail' END,
                          CASE WHEN w.names >= :accounts_alike THEN 'name' END,
                          CASE WHEN w.addresses >= :accounts_alike THEN 'address' END,
                          CASE WHEN w.throwaway >= :accounts_alike THEN 'disposable' END], NULL) AS shared,
       w.signups AS signups_in_hour, w.most_alike AS alike, w.throwaway, c.first_at AS first_registered_at
  FROM cohorts c
  JOIN waves w ON w.cohort = c.cohort AND w.created_at = c.latest
 ORDER BY c.cohort, c.day, w.account_id
