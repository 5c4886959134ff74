//! The methods of blocking calls, and what concerns all jobs at once.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, ThreadId};

use lwt_core::{Error, Promise, pause};
use lwt_unix::job::{
    self, AsyncMethod, Job, Limits, Pool, async_method, async_method_key, run_job, with_async_detach,
    with_async_none,
};

fn whereabouts(method: Option<AsyncMethod>) -> Promise<ThreadId> {
    run_job(method, || Ok::<_, Error>(thread::current().id()))
}

/// A job that ends when it is told to.
fn blocked() -> (Promise<()>, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel();
    (
        lwt_unix::detach(move || {
            let _ = wait.recv();
        }),
        go,
    )
}

lwt_unix::test! {
    async fn the_method_is_of_the_call_the_chain_or_the_default() -> Result<(), Error> {
        let here = thread::current().id();
        assert_eq!(async_method(), AsyncMethod::Detach);
        assert_ne!(whereabouts(None).await?, here);
        assert_eq!(whereabouts(Some(AsyncMethod::None)).await?, here);
        assert_eq!(with_async_none(|| whereabouts(None)).await?, here);
        assert_ne!(with_async_none(|| with_async_detach(|| whereabouts(None))).await?, here);
        assert_ne!(with_async_none(|| whereabouts(Some(AsyncMethod::Detach))).await?, here);
        // It follows the chain.
        let later = with_async_none(|| pause().bind(|()| whereabouts(None)));
        assert_eq!(later.await?, here);
        let task = async_method_key().scope(Some(AsyncMethod::None), async {
            pause().await?;
            whereabouts(None).await
        });
        assert_eq!(lwt_core::spawn(task).await?, here);
        // The library's own calls keep to it.
        let stats = with_async_none(|| lwt_unix::file::stat("/proc/self/status"));
        assert!(!stats.is_pending());
        assert!(stats.await?.is_file());
        let user = with_async_none(|| lwt_unix::users::getpwuid(0));
        assert!(!user.is_pending());
        user.await.map(drop)
    }

    async fn a_call_in_place_rejects_as_one_on_a_thread_does() -> Result<(), Error> {
        let failed = run_job(Some(AsyncMethod::None), || std::fs::read("/no/such/file"));
        assert_eq!(failed.await.unwrap_err().io_kind(), Some(std::io::ErrorKind::NotFound));
        let panicked = run_job(Some(AsyncMethod::None), || -> Result<(), Error> { panic!("in place") });
        assert_eq!(panicked.await.unwrap_err().panic_message(), Some("in place"));
        Ok(())
    }

    async fn a_job_in_three_parts() -> Result<(), Error> {
        struct Double(u32);
        impl Job for Double {
            type Raw = (u32, ThreadId);
            type Output = Rc<(u32, ThreadId, ThreadId)>;
            fn run(self) -> Self::Raw {
                (self.0 * 2, thread::current().id())
            }
            fn result(raw: Self::Raw) -> Result<Self::Output, Error> {
                if raw.0 > 100 {
                    return Err(Error::msg("too large"));
                }
                Ok(Rc::new((raw.0, raw.1, thread::current().id())))
            }
        }
        let here = thread::current().id();
        let done = job::start(None, Double(21)).await?;
        assert_eq!((done.0, done.1 == here, done.2 == here), (42, false, true));
        let done = job::start(Some(AsyncMethod::None), Double(4)).await?;
        assert_eq!((done.0, done.1 == here), (8, true));
        assert_eq!(job::start(None, Double(99)).await.unwrap_err().to_string(), "too large");
        Ok(())
    }

    async fn all_jobs_are_rejected_at_once() -> Result<(), Error> {
        let (begun, go) = blocked();
        let pool = Pool::new(Limits { max_threads: 1, max_queued: 1, ..Limits::default() });
        let (release, wait) = mpsc::channel::<()>();
        let ran = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let first = pool.detach(move || {
        let _ = wait.recv();
    });
        // In the queue, and over its bound.
        let others: Vec<_> = (0..3)
            .map(|_| {
                let ran = ran.clone();
                pool.detach(move || ran.store(true, std::sync::atomic::Ordering::SeqCst))
            })
            .collect();
        while pool.stats().idle + pool.stats().queued != 1 || pool.stats().threads != 1 {
            pause().await?;
        }
        let ended = job::wait_for_jobs();
        job::abort_jobs(Error::msg("enough"));
        for promise in [begun, first].into_iter().chain(others) {
            assert_eq!(promise.await.unwrap_err().to_string(), "enough");
        }
        ended.await?;
        drop((go, release));
        let (last, _go) = blocked();
        job::cancel_jobs();
        assert!(last.await.unwrap_err().is_canceled());
        assert_eq!(pool.detach(|| 5).await?, 5);
        assert!(!ran.load(std::sync::atomic::Ordering::SeqCst));
        Ok(())
    }

    async fn the_end_of_jobs_is_that_of_those_asked_for_before() -> Result<(), Error> {
        job::wait_for_jobs().await?;
        let ((one, go_one), (two, go_two)) = (blocked(), blocked());
        let ended = job::wait_for_jobs();
        let told = Rc::new(Cell::new(false));
        ended.on_success({
            let told = Rc::clone(&told);
            move |()| told.set(true)
        });
        let (later, go_later) = blocked();
        go_one.send(()).expect("it waits");
        one.await?;
        assert!(!told.get());
        two.cancel();
        assert!(two.await.unwrap_err().is_canceled());
        ended.await?;
        assert!(told.get() && later.is_pending());
        drop((go_two, go_later));
        later.await
    }
}
