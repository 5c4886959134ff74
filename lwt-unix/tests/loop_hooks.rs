//! Hooks: those of each turn, and those of the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, Promise, pause, set_unhandled_hook};
use lwt_unix::entry::guarded;
use lwt_unix::main_loop::{ExitHook, IterHook};
use lwt_unix::{at_exit, enter_iter_hooks, exit_hooks, leave_iter_hooks, run, sleep};

/// A list that closures write to.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<&'static str>>>);

impl Notes {
    fn add(&self, note: &'static str) {
        self.0.borrow_mut().push(note);
    }

    fn adder(&self, note: &'static str) -> impl Fn() + use<> {
        let notes = self.clone();
        move || notes.add(note)
    }

    fn take(&self) -> Vec<&'static str> {
        self.0.take()
    }
}

#[test]
fn they_run_in_order_around_each_turn() {
    guarded("they_run_in_order_around_each_turn", || {
        let notes = Notes::default();
        enter_iter_hooks().add_last(notes.adder("enter 2"));
        enter_iter_hooks().add_first(notes.adder("enter 1"));
        leave_iter_hooks().add_last(notes.adder("leave 2"));
        leave_iter_hooks().add_first(notes.adder("leave 1"));
        let inside = notes.adder("paused");
        run(pause().map(move |()| inside())).expect("paused");
        let turn = ["enter 1", "enter 2", "paused", "leave 1", "leave 2"];
        assert_eq!(notes.take(), turn);
    });
}

#[test]
fn removed_ones_do_not_run_any_more() {
    guarded("removed_ones_do_not_run_any_more", || {
        let notes = Notes::default();
        let second = Rc::new(RefCell::new(None));
        let first = enter_iter_hooks().add_last({
            let (notes, second) = (notes.clone(), Rc::clone(&second));
            move || {
                notes.add("first");
                let second: Option<lwt_unix::main_loop::IterHook> = second.borrow_mut().take();
                if let Some(second) = second {
                    second.remove();
                }
            }
        });
        *second.borrow_mut() = Some(enter_iter_hooks().add_last(notes.adder("second")));
        run(pause()).expect("paused");
        assert_eq!(notes.take(), ["first"]);
        first.remove();
        first.remove();
        run(pause()).expect("paused");
        assert_eq!(notes.take(), [""; 0]);
        enter_iter_hooks().add_last(notes.adder("third"));
        leave_iter_hooks().add_last(notes.adder("other list"));
        enter_iter_hooks().remove_all();
        run(pause()).expect("paused");
        assert_eq!(notes.take(), ["other list"]);
    });
}

#[test]
fn one_may_remove_itself_and_add_another() {
    guarded("one_may_remove_itself_and_add_another", || {
        let notes = Notes::default();
        let own = Rc::new(RefCell::new(None::<lwt_unix::main_loop::IterHook>));
        let hook = enter_iter_hooks().add_first({
            let (notes, own) = (notes.clone(), Rc::clone(&own));
            move || {
                notes.add("once");
                if let Some(own) = own.take() {
                    own.remove();
                }
                enter_iter_hooks().add_last(notes.adder("added"));
            }
        });
        *own.borrow_mut() = Some(hook);
        run(pause()).expect("paused");
        assert_eq!(notes.take(), ["once"]);
        run(pause()).expect("paused");
        assert_eq!(notes.take(), ["added"]);
    });
}

#[test]
fn a_panicking_one_is_reported_and_the_loop_goes_on() {
    guarded("a_panicking_one_is_reported", || {
        let reports = Rc::new(RefCell::new(Vec::new()));
        set_unhandled_hook(Some(Rc::new({
            let reports = Rc::clone(&reports);
            move |error: &Error| reports.borrow_mut().push(error.panic_message().map(str::to_owned))
        })));
        let notes = Notes::default();
        let hook = enter_iter_hooks().add_first(|| panic!("in a hook"));
        enter_iter_hooks().add_last(notes.adder("next"));
        run(pause()).expect("paused");
        hook.remove();
        assert_eq!(notes.take(), ["next"]);
        assert_eq!(reports.take(), [Some("in a hook".to_owned())]);
    });
}

#[test]
fn exit_hooks_run_last_first_and_one_after_the_other() {
    guarded("exit_hooks_run_last_first", || {
        let reports = Rc::new(RefCell::new(Vec::new()));
        set_unhandled_hook(Some(Rc::new({
            let reports = Rc::clone(&reports);
            move |error: &Error| reports.borrow_mut().push(error.to_string())
        })));
        let notes = Notes::default();
        let at_end = |note, fails: bool| {
            let notes = notes.clone();
            move || async move {
                notes.add(note);
                sleep(Duration::from_millis(1)).await?;
                notes.add("ended");
                if fails { Err(Error::msg(note)) } else { Ok(()) }
            }
        };
        at_exit(at_end("first added", false));
        at_exit(at_end("fails", true));
        at_exit({
            let notes = notes.clone();
            move || {
                let more = notes.adder("added meanwhile");
                at_exit(move || {
                    more();
                    Promise::ready(())
                });
                if true {
                    panic!("panics");
                }
                Promise::ready(())
            }
        });
        exit_hooks().add_last(at_end("at the end of the list", false));
        at_exit(at_end("removed", false)).remove();
        run(exit_hooks().run()).expect("hooks never fail");
        let order =
            ["added meanwhile", "fails", "ended", "first added", "ended", "at the end of the list", "ended"];
        assert_eq!(notes.take(), order);
        assert_eq!(reports.take(), ["panicked: panics", "fails"]);
        run(exit_hooks().run()).expect("nothing left");
        assert_eq!(notes.take(), [""; 0]);
    });
}

#[test]
fn a_hook_that_removes_itself_and_panics_when_it_is_dropped_harms_nobody() {
    guarded("a_hook_that_removes_itself", || {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        let told = Rc::new(RefCell::new(Vec::new()));
        let notes = Rc::clone(&told);
        set_unhandled_hook(Some(Rc::new(move |error: &Error| notes.borrow_mut().push(error.to_string()))));
        let bad = Bad;
        enter_iter_hooks().add_last(move || {
            let _own = &bad;
            enter_iter_hooks().remove_all();
        });
        run(pause()).expect("paused");
        run(pause()).expect("paused once more");
        assert_eq!(told.borrow().len(), 1);
        assert!(told.borrow()[0].contains("in drop"));
    });
}

/// The lists may be gone before who removes his hooks from them.
#[test]
fn hooks_are_removed_at_the_end_of_a_thread() {
    #[derive(Default)]
    struct AtEnd(RefCell<Option<(IterHook, ExitHook)>>);

    impl Drop for AtEnd {
        fn drop(&mut self) {
            if let Some((iter, exit)) = self.0.take() {
                println!("{iter:?} {exit:?} {:?} {:?}", enter_iter_hooks(), exit_hooks());
                iter.remove();
                exit.remove();
                enter_iter_hooks().add_last(|| ()).remove();
                enter_iter_hooks().remove_all();
                exit_hooks().remove_all();
            }
        }
    }

    thread_local! {
        static AT_END: AtEnd = AtEnd::default();
    }

    guarded("hooks_are_removed_at_the_end_of_a_thread", || {
        let thread = std::thread::spawn(|| {
            // Thread-locals end in the reverse order of their first uses.
            AT_END.with(|_| ());
            let exit = exit_hooks().add_last(async || Ok::<_, Error>(()));
            let hooks = (enter_iter_hooks().add_last(|| ()), exit);
            AT_END.with(|end| end.0.replace(Some(hooks)));
        });
        thread.join().expect("it ends without a panic");
    });
}

/// The lists may be gone before the loop is; then there are no hooks.
#[test]
fn a_run_at_the_end_of_a_thread() {
    struct AtEnd;

    impl Drop for AtEnd {
        fn drop(&mut self) {
            // It may say that there is no loop any more; it must not panic.
            let _ = run(pause());
        }
    }

    thread_local! {
        static AT_END: AtEnd = const { AtEnd };
    }

    guarded("a_run_at_the_end_of_a_thread", || {
        let thread = std::thread::spawn(|| {
            // Thread-locals end in the reverse order of their first uses: the hooks, this one, the loop.
            let nap = lwt_unix::sleep(std::time::Duration::ZERO);
            AT_END.with(|_| ());
            let hook = enter_iter_hooks().add_last(|| ());
            run(nap).expect("slept");
            hook.remove();
        });
        thread.join().expect("it ends without a panic");
    });
}
