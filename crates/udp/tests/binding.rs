//! Sockets are opened all or none, and a refusal says what to do.

use std::net::{SocketAddr, UdpSocket};

use moorline_udp::{BufferSizes, Sockets};

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[test]
fn a_port_in_use_is_named_and_the_sockets_before_it_are_closed() {
    // Where loopback has more addresses than one, nobody else takes the port from this one.
    let free = SocketAddr::from(([127, 0, 0, if cfg!(target_os = "linux") { 3 } else { 1 }], 0));
    let free = UdpSocket::bind(free).unwrap().local_addr().unwrap();
    let other_program = UdpSocket::bind(any_port()).unwrap();
    let taken = other_program.local_addr().unwrap();

    let error = Sockets::bind(&[free, taken], BufferSizes::SYSTEM).unwrap_err();
    assert_eq!(error.address, taken);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on udp {taken}: address already in use: stop the other program or \
             choose another port"
        )
    );
    Sockets::bind(&[free], BufferSizes::SYSTEM).expect("the first address is free again");
}

#[test]
fn an_address_of_another_machine_is_named() {
    // 192.0.2.0/24 is set aside for documentation: nobody has it.
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let error = Sockets::bind(&[elsewhere], BufferSizes::SYSTEM).unwrap_err();
    assert!(error.to_string().contains("does not have that address"), "{error}");
}

#[test]
fn buffers_are_granted_as_asked_or_reported_as_capped() {
    let small = BufferSizes { receive_bytes: Some(65_536), send_bytes: Some(32_768) };
    let sockets = Sockets::bind(&[any_port(), any_port()], small).unwrap();
    for report in sockets.buffer_report() {
        assert!(!report.is_capped(), "{report}");
        assert_eq!(report.receive.granted_bytes, 65_536);
        assert_eq!(report.send.granted_bytes, 32_768);
    }

    let absurd = BufferSizes { receive_bytes: Some(1 << 30), send_bytes: Some(1 << 30) };
    let sockets = Sockets::bind(&[any_port()], absurd).unwrap();
    let report = sockets.buffer_report().next().unwrap();
    assert_eq!(report.is_capped(), report.to_string().contains("raise"), "{report}");
    assert!(report.receive.granted_bytes >= 65_536, "a capped queue is as large as it may be");
}
