//! The bounds of the process's pool. They are the process's own, so this test is alone in it.

use lwt_preemptive::detach;
use lwt_unix::entry::guarded;
use lwt_unix::run;

#[test]
fn bounds_are_kept_and_told() {
    guarded("bounds_are_kept_and_told", || {
        let (_, before) = detach::get_bounds();
        assert!(before >= 64);
        detach::simple_init();
        detach::init(2, 5);
        assert_eq!(detach::get_bounds(), (2, 5));
        detach::set_bounds(9, 0);
        assert_eq!(detach::get_bounds(), (1, 1));
        detach::set_bounds(0, before);
        detach::set_max_number_of_threads_queued(0);
        assert_eq!(detach::get_max_number_of_threads_queued(), 1);
        detach::set_max_number_of_threads_queued(4096);
        let busy = detach::detach(|| (detach::nbthreads(), detach::nbthreadsbusy()));
        let (threads, busy) = run(busy).expect("run");
        assert!(threads >= busy && busy >= 1);
        let _ = detach::nbthreadsqueued();
    });
}
