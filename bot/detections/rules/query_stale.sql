/*
name: query_stale
title:
  ja: 検知の実行が止まっている
  en: A detection has not run well for too long
source: ledger
subject: detection
severity: P2
owner: fraud
schedule: {every: 60s}
window: 30d
overlap: 0s
mode: review
parameters:
  times:
    default: 3
    ja: 実行間隔のこの倍数のあいだ成功していなければ知らせます
    en: Tells when there was no success for this many times the interval
  at_least:
    default: 10m
    ja: 間隔が短くても、この時間までは待ちます
    en: Waits at least this long, however short the interval
actions: []
evidence:
  every_seconds: {ja: 実行間隔(秒), en: Runs every (seconds), type: count}
  minutes_without: {ja: 成功のない時間(分), en: Minutes without success, type: count}
  failed_since: {ja: その間に失敗した実行, en: Runs that failed since, type: count}
  last_success_at: {ja: 最後に成功した日時, en: Last success, type: time}
runbook:
  ja:
    - "/cre rules で検知の状態とエラーを確かめます。この間の不正は見つかっていません。"
    - データベースの負荷・権限・列の変更を確かめ、直るまでは管理画面で新しい注文を見ます。
    - 直ると、止まっていた間の分もさかのぼって調べます。
  en:
    - "See with /cre rules how the detection does and what fails. Nothing of its kind was found meanwhile."
    - Look at the load of the database, at grants and at changed columns; until it is mended watch new orders by hand.
    - Once it runs again it also looks at what came while it stood still.
false_positives:
  ja:
    - 計画された停止や保守の作業中
    - 起動したばかりで、まだ一巡していない
  en:
    - Planned maintenance
    - It was started just now and has not yet come to every detection
daily_cap: 100
*/
-- All by the database's clock, of which the latest run of anything is the latest that we know: where nothing
-- runs at all this does not either, and an outside monitor must see that.
WITH clock AS (
    SELECT max(last_run_at) AS now FROM ticks
),
runs AS (
    SELECT detection, max(at) FILTER (WHERE NOT failed) AS succeeded_at, min(at) AS first_at
      FROM detection_runs GROUP BY detection
),
-- Detections whose files are gone are due never. Who never ran is counted from when it should have.
judged AS (
    SELECT t.detection, t.every_s, c.now, r.succeeded_at,
           coalesce(r.succeeded_at, r.first_at, t.due_at) AS since
      FROM ticks t
     CROSS JOIN clock c
      LEFT JOIN runs r ON r.detection = t.detection
     WHERE t.detection IS NOT NULL AND t.due_at < :now + interval '100 years'
)
-- One finding a standstill, and another each day that it lasts.
SELECT j.detection AS subject_id, :now AS occurred_at,
       to_char(j.since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || ' day '
         || floor(extract(epoch FROM j.now - j.since) / 86400)::text AS window_key,
       j.every_s::bigint AS every_seconds, floor(extract(epoch FROM j.now - j.since) / 60)::bigint AS minutes_without,
       (SELECT count(*) FROM detection_runs f
         WHERE f.detection = j.detection AND f.failed AND f.at >= j.since) AS failed_since,
       j.succeeded_at AS last_success_at
  FROM judged j
 WHERE j.now - j.since > greatest(:times * j.every_s * interval '1 second', :at_least)
 ORDER BY j.detection
