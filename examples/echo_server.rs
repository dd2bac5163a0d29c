//! Sends every message back to whom it came from, and tells what becomes of each session.

use std::time::Duration;

use moorline::{Lane, Server, ServerConfig, ServerEvent, host_key};

const CHAT: u16 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = host_key::load_or_create("host.key".as_ref())?;
    let config = ServerConfig::native("127.0.0.1:7777".parse()?, key);
    let mut server = Server::bind(config.with_kind(CHAT, Lane::ReliableOrdered))?;
    loop {
        match server.poll_for(Duration::from_secs(1)) {
            Some(ServerEvent::Login(request)) => request.accept(),
            Some(ServerEvent::Message { session, message }) => {
                let sent = server.send_bytes(session, message.kind, 0, &message.payload);
                sent.unwrap_or_else(|why| eprintln!("{session} missed its echo: {why}"));
            }
            Some(ServerEvent::Session(event)) => eprintln!("{event}"),
            _ => {}
        }
    }
}
