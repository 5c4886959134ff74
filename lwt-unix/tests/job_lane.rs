//! Lanes, and the pool after a burst.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use lwt_core::{Error, Promise, all, join};
use lwt_unix::file;
use lwt_unix::job::{self, Lane, Limits, Pool};

/// Something that jobs wait for.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn open(&self) {
        *self.0.0.lock().expect("door") = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().expect("door");
        drop(self.0.1.wait_while(open, |open| !*open).expect("door"));
    }
}

lwt_unix::test! {
    async fn jobs_that_all_hang_in_a_lane_keep_no_others_waiting() -> Result<(), Error> {
        for max_threads in [2, 3, 40] {
            let pool = Pool::new(Limits { max_threads, max_queued: 4, ..Limits::default() });
            let (lane, door) = (Lane::new(&pool, 16), Door::default());
            // Far more than there are threads, or places in the queue.
            let hanging: Vec<_> = (0..100)
                .map(|_| {
                    let door = door.clone();
                    lane.detach(move || door.pass())
                })
                .collect();
            let others: Vec<_> = (0..100).map(|number| pool.detach(move || number)).collect();
            assert_eq!(all(others).await?, (0..100).collect::<Vec<_>>());
            assert!(hanging.iter().all(Promise::is_pending));
            // Those that have not begun can be taken back.
            for (number, job) in hanging.iter().enumerate() {
                if number % 3 == 0 {
                    job.cancel();
                }
            }
            door.open();
            let done = |job: Promise<()>| job.map(|()| true).catch(|_| Promise::ready(false));
            let ended = lwt_core::list::map_p(hanging, done);
            assert_eq!(ended.await?.into_iter().filter(|done| *done).count(), 66);
        }
        Ok(())
    }

    async fn a_thousand_look_ups_that_hang_keep_no_file_waiting() -> Result<(), Error> {
        let door = Door::default();
        let hanging: Vec<_> = (0..1000)
            .map(|_| {
                let door = door.clone();
                job::names().detach(move || door.pass())
            })
            .collect();
        file::set_fast_paths(false);
        for _ in 0..50 {
            assert!(file::stat("/").await?.is_dir());
        }
        assert!(hanging.iter().all(Promise::is_pending));
        door.open();
        join(hanging).await
    }

    async fn a_lane_whose_jobs_wait_keeps_no_other_lane_waiting() -> Result<(), Error> {
        let pool = Pool::new(Limits { max_threads: 2, ..Limits::default() });
        let (patient, other) = (Lane::new(&pool, 8), Lane::new(&pool, 8));
        let door = Door::default();
        let waits: Vec<_> = (0..5)
            .map(|_| {
                let door = door.clone();
                patient.detach(move || job::waiting(|| door.pass()))
            })
            .collect();
        for number in 0..20 {
            assert_eq!(other.detach(move || number).await?, number);
            assert_eq!(pool.detach(move || number).await?, number);
        }
        assert!(waits.iter().all(Promise::is_pending));
        door.open();
        join(waits).await?;
        // And they count again.
        let many: Vec<_> = (0..50).map(|number| patient.detach(move || number)).collect();
        assert_eq!(all(many).await?, (0..50).collect::<Vec<_>>());
        Ok(())
    }

    async fn a_lane_runs_so_many_jobs_at_a_time_and_all_of_them() -> Result<(), Error> {
        let pool = Pool::new(Limits::default());
        let lane = Lane::new(&pool, 3);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..200)
            .map(|number| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                lane.detach_result(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_micros(300));
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, Error>(number)
                })
            })
            .collect();
        // The jobs of a lane that nobody holds are done all the same.
        drop(lane);
        assert_eq!(all(jobs).await?, (0..200).collect::<Vec<_>>());
        let most = most.load(Ordering::SeqCst);
        assert!((1..=3).contains(&most), "{most}");
        Ok(())
    }

    async fn a_lane_of_one_runs_jobs_in_their_order() -> Result<(), Error> {
        let lane = Lane::new(job::pool(), 0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let jobs: Vec<_> = (0..300)
            .map(|number| {
                let order = Arc::clone(&order);
                lane.detach(move || order.lock().expect("order").push(number))
            })
            .collect();
        join(jobs).await?;
        assert_eq!(*order.lock().expect("order"), (0..300).collect::<Vec<_>>());
        assert_eq!(job::names().detach(|| 4).await?, 4);
        Ok(())
    }

    async fn a_burst_of_blocked_jobs_leaves_no_trace() -> Result<(), Error> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = Pool::new(Limits::default());
        let together = processors * 8;
        let barrier = Arc::new(Barrier::new(together));
        let burst: Vec<_> = (0..together)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                pool.detach(move || {
                    barrier.wait();
                })
            })
            .collect();
        join(burst).await?;
        assert!(pool.stats().threads >= together);
        while pool.stats().idle < pool.stats().threads {
            lwt_unix::sleep(Duration::from_millis(1)).await?;
        }
        // Until nobody watches any more.
        lwt_unix::sleep(Duration::from_millis(60)).await?;
        // Computations find the pool as it is on the first day, but for the threads that are parked.
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..together * 4)
            .map(|_| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                pool.detach(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let begin = Instant::now();
                    while begin.elapsed() < Duration::from_micros(500) {
                        std::hint::spin_loop();
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        join(jobs).await?;
        let most = most.load(Ordering::SeqCst);
        assert!(most <= processors, "{most} at a time on {processors} processors");
        Ok(())
    }
}
