//! Intervals and deadlines: never early, and what becomes of missed ticks. On a simulated clock, so that the
//! times are exact, and on the real one, where they are only never early.

use std::time::{Duration, Instant};

use lwt_core::{Error, Promise, pick, spawn};
use lwt_unix::sim::Sim;
use lwt_unix::time::{
    Interval, LoopClock, MissedTicks, Timeout, interval, interval_at, now, sleep_until, timeout_at,
    with_deadline,
};
use lwt_unix::{entry::guarded, loop_stats, run, sleep};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs on a clock that jumps.
fn simulated<F>(name: &str, body: fn() -> F)
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    guarded(name, move || Sim::new().run(body).expect("it succeeds"));
}

/// When ticks come, in milliseconds after the first, with a pause of 35 ms after the second.
async fn beats(missed: MissedTicks) -> Result<Vec<u64>, Error> {
    let mut interval = interval(ms(10)).missed(missed);
    let start = interval.tick().await?;
    let mut beats = Vec::new();
    for number in 1..=6 {
        interval.tick().await?;
        // What polls in passing take is no millisecond.
        beats.push((now() - start).as_millis() as u64);
        if number == 1 {
            sleep(ms(35)).await?;
        }
    }
    Ok(beats)
}

#[test]
fn missed_ticks() {
    simulated("missed_ticks", || async {
        assert_eq!(beats(MissedTicks::Burst).await?, [10, 45, 45, 45, 50, 60]);
        assert_eq!(beats(MissedTicks::Delay).await?, [10, 45, 55, 65, 75, 85]);
        assert_eq!(beats(MissedTicks::Skip).await?, [10, 45, 50, 60, 70, 80]);
        Ok(())
    });
}

#[test]
fn a_tick_that_was_given_up_is_not_lost() {
    simulated("a_tick_that_was_given_up", || async {
        let start = now();
        let mut beat = interval_at(start + ms(10), ms(10));
        for _ in 0..3 {
            let gone = pick([spawn_tick(&mut beat.clone()), sleep(ms(2)).map(move |()| start)]);
            gone.await?;
        }
        assert_eq!(beat.tick().await?, start + ms(10));
        assert_eq!((beat.next_due(), beat.period()), (Some(start + ms(20)), ms(10)));
        beat.reset();
        assert_eq!(beat.tick().await?, start + ms(20));
        Ok(())
    });
}

fn spawn_tick(beat: &mut Interval) -> Promise<Instant> {
    let mut beat = beat.clone();
    spawn(async move { beat.tick().await })
}

#[test]
fn any_period_is_legal() {
    simulated("any_period_is_legal", || async {
        // No time at all: a tick in every turn, and nobody starves.
        let other = spawn(async {
            sleep(ms(1)).await?;
            Ok::<_, Error>(())
        });
        let mut quick = interval(Duration::ZERO);
        while other.is_pending() {
            quick.tick().await?;
        }
        // More than there is: the first one comes, the second never does.
        let mut never = interval(Duration::MAX);
        never.tick().await?;
        assert_eq!(never.next_due(), None);
        never.reset();
        let error =
            with_deadline(now() + ms(5), || async move { never.tick().await }).await.expect_err("never");
        assert_eq!(error.downcast_ref(), Some(&Timeout));
        Ok(())
    });
}

#[test]
fn none_comes_early() {
    guarded("none_comes_early", || {
        run(async {
            let start = Instant::now();
            let mut beat = interval(Duration::from_micros(700));
            for number in 0..20 {
                let due = beat.tick().await?;
                assert!(Instant::now() >= due);
                assert!(start.elapsed() >= Duration::from_micros(700) * number);
            }
            Ok::<_, Error>(())
        })
        .expect("it ticks");
    });
}

#[test]
fn a_stream_of_ticks_leaves_no_timer_behind() {
    simulated("a_stream_of_ticks", || async {
        let stream = interval(ms(10)).into_stream();
        let first = stream.next().await?;
        drop(stream.next());
        let reader = stream.next();
        assert!(reader.is_pending());
        assert_eq!(reader.await? - first, ms(10));
        drop(stream);
        lwt_core::pause().await?;
        assert_eq!(loop_stats().timers, 0);
        Ok(())
    });
}

#[test]
fn deadlines() {
    simulated("deadlines", || async {
        let start = now();
        sleep_until(start + ms(20)).await?;
        assert!(now() >= start + ms(20));
        // One that has passed is over at once, or nearly.
        let before = now();
        sleep_until(start).await?;
        assert!(now() - before < ms(1));
        let error = timeout_at::<()>(now() + ms(3)).await.expect_err("it is late");
        assert_eq!(error.downcast_ref(), Some(&Timeout));
        let limit = now() + ms(10);
        for _ in 0..3 {
            with_deadline(limit, || sleep(ms(3))).await?;
        }
        let slow = with_deadline(limit, || sleep(ms(3)));
        assert_eq!(slow.await.expect_err("it is late").downcast_ref(), Some(&Timeout));
        assert_eq!(loop_stats().timers, 0);
        // What is ready at once needs no time.
        assert_eq!(with_deadline(start, || Promise::ready(1)).await?, 1);
        Ok(())
    });
}

#[test]
fn a_throttle_on_the_loops_clock() {
    simulated("a_throttle_on_the_loops_clock", || async {
        let throttle = lwt_core::throttle::Throttle::new(LoopClock::new(), 2, 3);
        let start = now();
        let all: Vec<Promise<bool>> = (0..6).map(|_| throttle.wait("key")).collect();
        let mut passed = Vec::new();
        for one in all {
            let may = one.await?;
            passed.push((may, (now() - start).as_secs()));
        }
        // Two a second; three may wait; the sixth is sent away.
        assert_eq!(passed, [(true, 0), (true, 0), (true, 1), (true, 1), (true, 2), (false, 2)]);
        Ok(())
    });
}
