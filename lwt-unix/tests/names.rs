//! Look-ups of names. What the machine knows differs, so only what every machine knows is expected.

use std::net::IpAddr;

use lwt_core::Error;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::names::{
    Hints, NameError, NameErrorKind, NameFlags, getaddrinfo, gethostbyaddr, gethostbyname, gethostname,
    getnameinfo, getprotobyname, getprotobynumber, getservbyname, getservbyport,
};
use lwt_unix::net::{Domain, TcpListener, TcpStream, Type};
use net_support::{deaf_port, loopback};

mod net_support;

fn kind(error: &Error) -> NameErrorKind {
    NameError::of(error).unwrap_or_else(|| panic!("not of a look-up: {error:?}")).kind()
}

/// The lines of a data base, without comments, as words.
fn lines(path: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let words = |line: &str| -> Vec<String> {
        line.split('#').next().unwrap_or("").split_whitespace().map(str::to_owned).collect()
    };
    text.lines().map(words).filter(|words| words.len() > 1).collect()
}

lwt_unix::test! {
    async fn numbers_need_nobody() -> Result<(), Error> {
        let hints = Hints::new().numeric_host().numeric_service();
        let found = getaddrinfo("127.0.0.1", "80", hints).await?;
        let types: Vec<_> = found.iter().filter_map(|info| info.socket_type).collect();
        assert!(types.contains(&Type::Stream) && types.contains(&Type::Datagram), "{found:?}");
        assert!(
            found.iter().all(|info| info.address.to_string() == "127.0.0.1:80" && info.family == Domain::V4)
        );
        let found = getaddrinfo("::1", "", hints.socket_type(Type::Stream)).await?;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].address.to_string().as_str(), found[0].protocol),
            ("[::1]:0", libc::IPPROTO_TCP)
        );
        let found = getaddrinfo("127.0.0.1", "7", hints.canonical_name().protocol(libc::IPPROTO_UDP)).await?;
        assert_eq!(
            (found[0].socket_type, found[0].canonical_name.as_deref()),
            (Some(Type::Datagram), Some("127.0.0.1"))
        );
        let found =
            getaddrinfo("", "80", Hints::new().passive().family(Domain::V4).socket_type(Type::Stream))
                .await?;
        assert_eq!(found[0].address.to_string(), "0.0.0.0:80");
        let found = getaddrinfo("", "80", Hints::new().family(Domain::V4).socket_type(Type::Stream)).await?;
        assert_eq!(found[0].address.to_string(), "127.0.0.1:80");
        Ok(())
    }

    async fn errors_say_what_and_why() -> Result<(), Error> {
        let numeric = Hints::new().numeric_host();
        let error = getaddrinfo("not a number", "80", numeric).await.expect_err("no address");
        let told = NameError::of(&error).expect("a look-up");
        assert_eq!(
            (told.kind(), told.call(), told.subject()),
            (NameErrorKind::NotFound, "getaddrinfo", "not a number:80")
        );
        assert_eq!(told.code(), Some(libc::EAI_NONAME));
        assert!(error.to_string().len() > "getaddrinfo not a number:80: ".len(), "{error}");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
        let error = getaddrinfo("127.0.0.1", "no such service", numeric.numeric_service()).await;
        assert!(matches!(
            kind(&error.expect_err("no number")),
            NameErrorKind::NotFound | NameErrorKind::Service
        ));
        let error = getaddrinfo("127.0.0.1", "80", numeric.family(Domain::Other(77))).await;
        assert_eq!(kind(&error.expect_err("no family")), NameErrorKind::Invalid);
        for port in ["65536", "99999", "99999999999999999999999"] {
            let error = getaddrinfo("127.0.0.1", port, numeric).await.expect_err("no port");
            assert_eq!(kind(&error), NameErrorKind::Service);
        }
        assert_eq!(
            kind(&getaddrinfo("zero\0byte", "", numeric).await.expect_err("no name")),
            NameErrorKind::NotFound
        );
        assert_eq!(
            kind(&getservbyname("no such service", "tcp").await.expect_err("none")),
            NameErrorKind::NotFound
        );
        assert_eq!(
            kind(&getprotobyname("no such protocol").await.expect_err("none")),
            NameErrorKind::NotFound
        );
        assert_eq!(kind(&getprotobynumber(-5).await.expect_err("none")), NameErrorKind::NotFound);
        Ok(())
    }

    async fn hosts_by_name_and_by_address() -> Result<(), Error> {
        assert!(!gethostname()?.is_empty());
        let entry = gethostbyname("127.0.0.1").await?;
        assert_eq!((entry.name.as_str(), entry.addresses), ("127.0.0.1", vec![IpAddr::from([127, 0, 0, 1])]));
        let entry = gethostbyname("::1").await?;
        assert_eq!(entry.addresses, ["::1".parse::<IpAddr>().expect("an address")]);
        // What the machine's own file says.
        for words in lines("/etc/hosts") {
            let Ok(address @ IpAddr::V4(_)) = words[0].parse::<IpAddr>() else { continue };
            let entry = gethostbyname(&words[1]).await?;
            assert!(!entry.addresses.is_empty(), "{entry:?}");
            let entry = gethostbyaddr(address).await?;
            assert_eq!(entry.addresses, [address]);
            let names = getnameinfo((address, 80).into(), NameFlags::NUMERIC_SERVICE).await?;
            assert_eq!((names.host, names.service), (entry.name, "80".to_owned()));
        }
        Ok(())
    }

    async fn the_data_bases_are_what_their_files_say() -> Result<(), Error> {
        for words in lines("/etc/protocols").into_iter().take(20) {
            let (name, number) = (&words[0], words[1].parse().expect("a number"));
            let entry = getprotobyname(name).await?;
            assert_eq!((&entry.name, entry.number), (name, number));
            assert_eq!(entry.aliases, words[2..]);
            assert!(getprotobynumber(number).await.is_ok());
        }
        for words in lines("/etc/services").into_iter().take(40) {
            let (port, protocol) = words[1].split_once('/').expect("a port and a protocol");
            let entry = getservbyname(&words[0], protocol).await?;
            assert_eq!((&entry.name, entry.port), (&words[0], port.parse().expect("a port")));
            assert_eq!((entry.protocol.as_str(), &entry.aliases[..]), (protocol, &words[2..]));
            assert_eq!(getservbyport(entry.port, protocol).await?.port, entry.port);
        }
        Ok(())
    }

    async fn names_of_addresses() -> Result<(), Error> {
        let flags = NameFlags::NUMERIC_HOST | NameFlags::NUMERIC_SERVICE;
        for (address, host) in
            [("127.0.0.1:80", "127.0.0.1"), ("[::1]:80", "::1"), ("[::ffff:1.2.3.4]:80", "::ffff:1.2.3.4")]
        {
            let names = getnameinfo(address.parse().expect("an address"), flags).await?;
            assert_eq!((names.host.as_str(), names.service.as_str()), (host, "80"));
        }
        let flags = NameFlags::NUMERIC_HOST | NameFlags::NAME_REQUIRED;
        assert!(getnameinfo("127.0.0.1:80".parse().expect("an address"), flags).await.is_err());
        Ok(())
    }

    async fn many_at_once_and_cancelled() -> Result<(), Error> {
        let hints = Hints::new().numeric_host().socket_type(Type::Stream);
        let looks: Vec<_> = (0..200).map(|port| getaddrinfo("127.0.0.1", &port.to_string(), hints)).collect();
        for look in looks.iter().skip(1).step_by(2) {
            look.cancel();
        }
        for (port, look) in looks.into_iter().enumerate() {
            match look.await {
                Ok(found) => assert_eq!(found[0].address.to_string(), format!("127.0.0.1:{port}")),
                Err(error) => assert!(error.is_canceled() && port % 2 == 1, "{error:?}"),
            }
        }
        Ok(())
    }

    async fn a_connection_by_name() -> Result<(), Error> {
        let listener = TcpListener::bind(loopback())?;
        let port = listener.local_addr()?.port();
        let stream = TcpStream::connect_host("127.0.0.1", port).await?;
        let (_, peer) = listener.accept().await?;
        assert_eq!(stream.local_addr()?, peer);
        let (_deaf, nobody) = deaf_port().await?;
        let port = nobody.port();
        let error = TcpStream::connect_host("127.0.0.1", port).await.expect_err("nobody listens");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused));
        // What is an address already is not looked up.
        let faults = Plan::seeded(1).with(Rule::on(["getaddrinfo"]).error(libc::EMFILE)).install();
        let error = TcpStream::connect_host("127.0.0.1", port).await.expect_err("nobody listens");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused));
        let error = TcpStream::connect_host("localhost", port).await.expect_err("made to");
        assert_eq!(kind(&error), NameErrorKind::System);
        drop(faults);
        let connecting = lwt_core::spawn(TcpStream::connect_host("localhost", port));
        connecting.cancel();
        assert!(connecting.await.is_err_and(|error| error.is_canceled()));
        Ok(())
    }

    async fn interruptions_are_not_seen() -> Result<(), Error> {
        let faults = Plan::seeded(1).with(Rule::any().times(3).interrupted(2)).install();
        getaddrinfo("127.0.0.1", "80", Hints::new().numeric_host()).await?;
        assert_eq!(gethostbyname("127.0.0.1").await?.name, "127.0.0.1");
        assert!(faults.injected() > 0);
        Ok(())
    }

    async fn failures_of_the_system_are_told() -> Result<(), Error> {
        let _faults =
            Plan::seeded(1).with(Rule::on(["getaddrinfo", "getservbyname"]).error(libc::EMFILE)).install();
        let error = getaddrinfo("127.0.0.1", "80", Hints::new().numeric_host()).await.expect_err("made to");
        let told = NameError::of(&error).expect("a look-up");
        assert_eq!(
            (told.kind(), told.raw_os_error(), told.code()),
            (NameErrorKind::System, Some(libc::EMFILE), None)
        );
        assert_eq!(kind(&getservbyname("http", "tcp").await.expect_err("made to")), NameErrorKind::System);
        Ok(())
    }
}
