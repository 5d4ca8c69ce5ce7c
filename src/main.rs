//! Temporary.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let mut config = pregon::config::Config::default();
    let a: Vec<String> = std::env::args().collect();
    if let Some(x) = a.get(1) {
        config.listeners.tcp = vec![x.parse().unwrap()];
    }
    if let Some(x) = a.get(2) {
        config.runtime.cores = pregon::config::Cores::List(x.split(',').map(|x| x.parse().unwrap()).collect());
    }
    if let Some(x) = a.get(3) {
        config.runtime.shards = Some(x.parse().unwrap());
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let broker = match pregon::shell::broker::Broker::start(&config) {
        Ok(b) => b,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(3)
        }
    };
    eprintln!("listening {:?}", broker.addresses());
    let r = broker.reporter();
    loop {
        std::thread::sleep(std::time::Duration::from_secs(5));
        if a.len() > 4 {
            for x in r.reports() {
                eprintln!("{:?} {:?}", x.sizes, x.shell);
            }
        }
    }
}
