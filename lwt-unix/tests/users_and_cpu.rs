//! Users, groups and processors.

use lwt_core::Error;
use lwt_unix::users::{getgrgid, getgrnam, getlogin, getpwnam, getpwuid};

lwt_unix::test! {
    async fn users_and_groups_are_found_by_name_and_number() -> Result<(), Error> {
        let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        for line in text.lines().take(5) {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, uid, gid, comment, home, shell] = fields[..] else { continue };
            let user = getpwnam(name).await?.expect("it stands there");
            assert_eq!((user.uid.to_string(), user.gid.to_string()), (uid.to_owned(), gid.to_owned()));
            assert_eq!((user.name.to_str(), user.comment.to_str()), (Some(name), Some(comment)));
            assert_eq!((user.home.to_str(), user.shell.to_str()), (Some(home), Some(shell)));
            assert_eq!(getpwuid(user.uid).await?.map(|user| user.uid), Some(user.uid));
            if let Some(group) = getgrgid(user.gid).await? {
                assert_eq!(getgrnam(group.name.to_str().expect("text")).await?, Some(group));
            }
        }
        assert_eq!(getpwnam("no such user").await?, None);
        assert_eq!(getpwnam("a\0b").await?, None);
        assert_eq!(getgrnam("no such group").await?, None);
        assert_eq!(getpwuid(u32::MAX - 7).await?, None);
        assert_eq!(getgrgid(u32::MAX - 7).await?, None);
        // There may be no terminal.
        if let Ok(name) = getlogin().await {
            assert!(!name.is_empty());
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_thread_runs_where_it_may() {
    use lwt_unix::cpu::{get_affinity, get_cpu, set_affinity};

    lwt_unix::entry::guarded("a_thread_runs_where_it_may", || {
        let may = get_affinity(None).expect("a set");
        assert!(!may.is_empty());
        assert!(get_cpu().is_ok());
        for cpu in may.iter().copied() {
            set_affinity(None, &[cpu]).expect("one of them");
            assert_eq!((get_affinity(None).expect("a set"), get_cpu().expect("a number")), (vec![cpu], cpu));
        }
        set_affinity(None, &may).expect("as it was");
        assert!(set_affinity(None, &[]).is_err());
        assert!(set_affinity(None, &[usize::MAX]).is_err());
        assert!(get_affinity(Some(i32::MAX)).is_err());
    });
}
