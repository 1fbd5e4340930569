-- SPDX-License-Identifier: MIT
-- The gateway. Every key stands here with its default; remove the "--" before one to change it.
-- Durations are written "250ms", "30s", "5m", "2h", "1d" (a plain number: seconds), sizes "64K",
-- "16M", "1G" (a plain number: bytes). Unlimited, where that is allowed, is "off". The environment
-- is read with env("NAME", default). Sites stand in sites/NAME.lua. `moonlatch check` looks for
-- mistakes, `moonlatch conf` prints what is in effect.
return {
  -- Addresses; port 0 takes a free one. "unix:/path" is the file of a socket that only the user of the
  -- gateway may connect to.
  listen = { "127.0.0.1:8000" },
  -- What is shared, tokens and channels: "memory" (one node), "sqlite:PATH" (one node, whose tokens,
  -- histories and queues survive a restart and kill -9), or a Redis for any number of nodes:
  -- "redis://user:password@host:6379/0", "rediss://..." over TLS, "unix:///run/redis.sock?db=0",
  -- "redis+sentinel://host1:26379,host2:26379/mymaster/0".
  -- store = "memory",

  http = {
    -- File of the authorities that https:// backends must be known by, or "off": the system's.
    -- ca = "off",
  },

  redis = {
    -- File of the authorities that a rediss:// must be known by, or "off": the system's.
    -- ca = "off",
  },

  -- Ways in for Socket.IO clients, whose namespaces name the sites (socketio.namespaces of a site's
  -- conf). {} for none.
  endpoints = {
    {
      path = "/socket.io",
      transport = "engineio",
      dialect = "socketio",
      -- Each site says for its namespaces: socketio.auth.
      -- auth = "none",
      -- Bytes of a WebSocket message, after inflating, and its frames: limits.ws_max_message and
      -- limits.ws_max_fragments where nothing is said.
      -- max_message = "64K",
      -- max_fragments = 64,
      -- permessage-deflate: true, or a table with level, min, window_bits and context_takeover.
      -- compress = false,
      -- Subprotocols are not for Socket.IO.
      -- protocols = "",
      -- Engine.IO has heartbeats of its own.
      -- ping = true,
      -- Between heartbeats, and for their answer.
      -- ping_interval = "25s",
      -- ping_timeout = "20s",
      -- For a client to move from polling to a WebSocket.
      -- upgrade_timeout = "10s",
      -- Bytes of a body, where limits.http_max_body allows as much.
      -- max_payload = "1M",
      -- Serve clients of protocol 3 too (1.x and 2.x).
      -- eio3 = true,
      -- Set the cookie io, which sticky load balancers may look at.
      -- cookie = false,
      -- Folder of the files that pages load from here, such as node_modules/socket.io-client/dist for
      -- /socket.io/socket.io.js, or "off".
      -- client = "off",
    },
  },

  -- Peers whose X-Forwarded-For is believed: addresses and blocks; "::" those on unix sockets.
  -- trusted_proxies = {},

  log = {
    -- What is written to standard error; "debug", "info", "warn" or "error".
    -- level = "info",
    -- Key=value, or a JSON object in each line; "text" or "json".
    -- format = "text",
  },

  admin = {
    -- An address for metrics and, with a key, the verbs of a running gateway, "127.0.0.1:8001".
    -- listen = "off",
    -- The unix socket of these verbs: a path, "off", or "auto": one that they find by the conf
    -- folder.
    -- socket = "auto",
    -- Opens them at the address above to who has it; 32 characters or more, or "off": to nobody.
    -- key = "off",
  },

  -- Path of the metrics at the admin address, or "off".
  -- metrics = "/metrics",

  health = {
    -- Path that answers 200 while it runs, or "off".
    -- live = "/health/live",
    -- Path that answers 200 while it takes clients, or "off".
    -- ready = "/health/ready",
    -- Path that answers 200 as backends of the push service know it, or "off".
    -- check = "/healthcheck",
  },

  -- Path of the push service, for the sites that have a push.api_key, or "off".
  -- send = "/send",

  limits = {
    -- Limits per address count loopback and private addresses too.
    -- count_private = false,

    -- ---- connections and HTTP ----
    -- Open connections of the process; 0: as descriptors allow, at most 100000; 0 to 1000000.
    -- max_connections = 0,
    -- Descriptors kept back for backends, logs and reload; 8 to 4096.
    -- fd_reserve = 64,
    -- Open connections of one public address (IPv6: /64); 1 to 1000000.
    -- max_connections_per_ip = 1000,
    -- Open sockets of one site; 1 to 1000000 or "off".
    -- max_connections_per_site = "off",
    -- Open sockets of one user, where the site says who that is (user); 1 to 1000000.
    -- max_connections_per_user = 16,
    -- New connections of one public address per second; 1 to 1000000 or "off".
    -- new_connections_per_ip = 100,
    -- And how many at once; 1 to 1000000.
    -- new_connections_per_ip_burst = 1000,
    -- Connections accepted in one turn of the loop; 1 to 4096.
    -- accepts_per_tick = 64,
    -- Connections the kernel keeps waiting; 1 to 65535.
    -- listen_backlog = 4096,
    -- From a connection's first byte to the end of the headers; "100ms" to "5m".
    -- http_header_timeout = "10s",
    -- From the end of the headers to the end of the body; "100ms" to "5m".
    -- http_body_timeout = "15s",
    -- Then a body must come at http_min_body_rate; "100ms" to "5m".
    -- http_body_grace = "5s",
    -- Bytes of a body per second, on the whole; 1 to 1000000000 or "off".
    -- http_min_body_rate = 500,
    -- A connection without a request is closed; "100ms" to "10m".
    -- http_keepalive_timeout = "30s",
    -- Then the connection is closed after the answer; 1 to 100000000.
    -- http_requests_per_connection = 1000,
    -- Requests read ahead of their answers; 1 to 64.
    -- http_pipeline_depth = 8,
    -- Method, target and version; 256 to "64K".
    -- http_max_request_line = "4K",
    -- All header lines of a request; 512 to "256K".
    -- http_max_header_bytes = "8K",
    -- Header lines of a request; 8 to 1024.
    -- http_max_header_count = 64,
    -- Body of a request to a transport or the token route; "1K" to "16M".
    -- http_max_body = "64K",
    -- Parameters of a query string; 1 to 1024.
    -- max_query_params = 32,
    -- Cookies of a request; 64 to "64K".
    -- max_cookie_bytes = "4K",
    -- A peer that takes none of the bytes waiting for it is closed; "100ms" to "10m".
    -- send_stall_timeout = "30s",

    -- ---- WebSocket ----
    -- A message, after inflating; an endpoint's max_message overrides it; 16 to "16M".
    -- ws_max_message = "64K",
    -- Frames of a message; an endpoint's max_fragments overrides it; 1 to 65536.
    -- ws_max_fragments = 64,
    -- From a message's first byte to its last; "100ms" to "10m".
    -- ws_message_time = "30s",
    -- Ping, pong and close frames of a socket per second; 1 to 1000000 or "off".
    -- ws_control_rate = 10,
    -- And how many at once; 1 to 1000000.
    -- ws_control_burst = 30,
    -- Messages of a socket per second; then it is not read for a while; 1 to 10000000 or "off".
    -- ws_message_rate = 200,
    -- And how many at once; 1 to 10000000.
    -- ws_message_burst = 1000,
    -- Between our pings, give or take a fifth; "100ms" to "1h".
    -- ws_ping_interval = "25s",
    -- For the answer to a ping; "100ms" to "1h".
    -- ws_pong_timeout = "10s",
    -- For the peer's half of the closing handshake; "100ms" to "1m".
    -- ws_close_wait = "2s",
    -- A WebSocket older than this is closed with 1001; "1s" to "30d" or "off".
    -- max_lifetime = "off",
    -- Idle time before TCP asks the peer's kernel; then every quarter of it, three times; "1s"
    -- to "2h".
    -- tcp_keepalive = "1m",
    -- Unacknowledged bytes older than this end the connection; "1s" to "2h".
    -- tcp_user_timeout = "30s",

    -- ---- SockJS ----
    -- Between heartbeats; an endpoint's heartbeat overrides it; "100ms" to "34s".
    -- sockjs_heartbeat = "25s",
    -- A session without receiver is closed; an endpoint's disconnect_delay overrides it;
    -- "100ms" to "10m".
    -- sockjs_disconnect_delay = "5s",
    -- Bytes of one streaming response; an endpoint's response_limit overrides it; "1K" to
    -- "100M".
    -- sockjs_response_limit = "128K",
    -- Messages in one xhr_send or jsonp_send; 1 to 10000.
    -- sockjs_messages_per_body = 64,
    -- Sessions of one public address that have no receiver; 1 to 1000000.
    -- sockjs_sessions_per_ip = 100,
    -- Bytes kept for a session without receiver; "1K" to "16M".
    -- sockjs_queue_bytes = "64K",
    -- Messages kept for a session without receiver; 1 to 1000000.
    -- sockjs_queue_messages = 256,

    -- ---- Engine.IO ----
    -- Between pings: ours, or with protocol 3 the client's; an endpoint's ping_interval overrides it;
    -- "100ms" to "10m".
    -- eio_ping_interval = "25s",
    -- For the answer, or how late a client's ping may be; an endpoint's ping_timeout overrides it;
    -- "100ms" to "10m".
    -- eio_ping_timeout = "20s",
    -- For a client to move from polling to a WebSocket; an endpoint's upgrade_timeout overrides it;
    -- "100ms" to "10m".
    -- eio_upgrade_timeout = "10s",
    -- A body of packets, where http_max_body allows as much; an endpoint's max_payload overrides it;
    -- "1K" to "16M".
    -- eio_max_payload = "1M",
    -- Packets in one body; 1 to 10000.
    -- eio_packets_per_body = 64,
    -- Polling sessions of one public address that have no request waiting; 1 to 1000000.
    -- eio_sessions_per_ip = 100,
    -- Bytes kept for a session between two polls; "1K" to "1G".
    -- eio_queue_bytes = "1M",
    -- Messages kept for it; 1 to 1000000.
    -- eio_queue_messages = 256,

    -- ---- Socket.IO ----
    -- Namespaces of one connection; 1 to 1000.
    -- sio_namespaces = 4,
    -- Binary attachments of one packet; 0 to 1000.
    -- sio_attachments = 10,

    -- ---- the push service ----
    -- Body of a POST /send; "1K" to "16M".
    -- push_body = "100K",
    -- POST /send with one API key per second; then 429; 1 to 10000000 or "off".
    -- push_rate = 500,
    -- And how many at once; 1 to 10000000.
    -- push_burst = 1000,
    -- What was sent with an idempotency key is not sent again; "1s" to "1d".
    -- idempotency_ttl = "5m",
    -- Of those that are kept; then the oldest goes; 1 to 10000000.
    -- idempotency_keys = 10000,
    -- That wait for a user's device; then they are given up for one resync; 1 to 1000000.
    -- queue_messages = 1000,
    -- Of them; "1K" to "1G".
    -- queue_bytes = "1M",
    -- Of a user; then the one that has been away for longest goes; 1 to 10000.
    -- queue_devices = 8,
    -- In one batch; the next follows its ack; 1 to 10000.
    -- batch_messages = 100,
    -- Of them; "1K" to "16M".
    -- batch_bytes = "256K",

    -- ---- tokens and authentication ----
    -- A socket that has not authenticated is closed; "100ms" to "10m".
    -- unauth_timeout = "5s",
    -- Messages before authentication; 1 to 1000.
    -- unauth_frames = 4,
    -- Bytes of them; 64 to "1M".
    -- unauth_bytes = "4K",
    -- What a token carries; 2 to "1M".
    -- token_data = "8K",
    -- Tokens issued to one public address per second; 1 to 1000000 or "off".
    -- tokens_per_ip = 10,
    -- And how many at once; 1 to 1000000.
    -- tokens_per_ip_burst = 500,
    -- Unused tokens in the memory store; 1 to 100000000.
    -- memory_tokens = 100000,
    -- Messages that wait for users' devices in the memory store; then no more are taken; "64K" to "1024G".
    -- memory_queues = "256M",
    -- Messages kept for histories in the memory store; then the longest silent channels lose
    -- theirs; "64K" to "1024G".
    -- memory_history = "256M",
    -- Of the file of the SQLite store; then what would make it grow fails with unavailable; "1M" to "1T".
    -- sqlite_size = "1G",
    -- Failed authentications of one public address in a minute; then 429 for a minute; 1 to
    -- 1000000.
    -- failed_auth_per_ip = 10,

    -- ---- pub/sub and RPC ----
    -- Bytes of a channel's name; 1 to "1K".
    -- channel_name = 255,
    -- Channels of a socket; 1 to 1000000.
    -- subscriptions_per_socket = 128,
    -- Channels with members; 1 to 100000000.
    -- channels_per_site = 100000,
    -- And of all sites of the process; 1 to 100000000.
    -- channels_per_node = 1000000,
    -- Subscribes and unsubscribes of a socket per second; 1 to 1000000 or "off".
    -- subscribe_rate = 20,
    -- And how many at once; 1 to 1000000.
    -- subscribe_burst = 128,
    -- Publishes and broadcasts of a socket per second; 1 to 1000000 or "off".
    -- publish_rate = 20,
    -- And how many at once; 1 to 1000000.
    -- publish_burst = 40,
    -- Publishes and broadcasts of all clients of a site per second; 1 to 10000000 or "off".
    -- site_publish_rate = 5000,
    -- Messages of a socket that wait their turn while a listener decides about another; "4K" to "1G".
    -- op_queue_bytes = "1M",
    -- Bytes of a published message; 2 to "16M".
    -- published_message = "64K",
    -- Unsent bytes a socket may have for send_buffer_time; the site's slow setting says what
    -- then; "4K" to "1G".
    -- send_buffer_soft = "256K",
    -- How long it may stay above send_buffer_soft; "100ms" to "10m".
    -- send_buffer_time = "10s",
    -- Unsent bytes at which a socket is closed at once; "4K" to "1G".
    -- send_buffer_hard = "1M",
    -- For a controller to answer a client; "10ms" to "1h".
    -- rpc_timeout = "10s",
    -- For a client to answer a script; "10ms" to "1h".
    -- call_timeout = "10s",
    -- Calls of a socket that are running; 1 to 100000.
    -- rpc_concurrency = 64,
    -- Calls of a site that are running; 1 to 10000000.
    -- rpc_per_site = 10000,
    -- Bytes of a controller's name; 1 to "4K".
    -- rpc_name = 128,
    -- Dotted parts of a controller's name; 1 to 64.
    -- rpc_segments = 8,

    -- ---- JSON ----
    -- Unsent bytes of all connections, then the slowest are closed; 0 to "1024G"; 0: a fifth of the
    -- machine's memory.
    -- send_buffers = 0,
    -- Nesting of a client's message; 2 to 512.
    -- json_depth = 32,
    -- Values in a message; 1 to 10000000.
    -- json_values = 10000,
    -- Members of one object; 1 to 1000000.
    -- json_keys = 1000,
    -- Messages of a socket that are no JSON; then it is closed with 1008; 1 to 1000.
    -- json_strikes = 3,

    -- ---- scripts ----
    -- A handler that runs this long without waiting is stopped; "1ms" to "1m".
    -- script_time = "50ms",
    -- A stopped handler that goes on this long in spite of it, in C, is reported in the log; "20ms" to "10m".
    -- script_stuck = "2s",
    -- And this long: the process ends with SIGABRT, so that its supervisor starts it anew; "20ms" to "10m" or "off".
    -- script_stuck_abort = "off",
    -- Of each second that a site's handlers may run while others have work; then they wait for their turn; 1s: all of it; "10ms" to "1s".
    -- script_share = "300ms",
    -- For that turn; then clients read overload; "10ms" to "1m".
    -- script_share_wait = "1s",
    -- Handlers of a site that wait for their turn; 1 to 100000.
    -- script_waiting = 256,
    -- Times within ten seconds that a handler may be stopped; then it is suspended; 1 to 1000000.
    -- script_violations = 5,
    -- How long nobody enters a suspended handler; "10ms" to "1h".
    -- script_suspend = "30s",
    -- What a site keeps in moonlatch.cache; then the longest unused goes; "4K" to "1G".
    -- script_cache = "16M",
    -- Memory of a site's Lua state; "1M" to "64M".
    -- script_memory = "32M",
    -- Bytes of a string that a script makes; "1K" to "16M".
    -- script_string = "1M",
    -- Elements of one concat, unpack, move or sort; 100 to 1000000.
    -- script_table_ops = 100000,
    -- Bytes of a text given to load(); "1K" to "16M".
    -- script_load = "256K",
    -- Bytes of a script file; "1K" to "16M".
    -- script_file = "1M",
    -- For loading a site's scripts; "10ms" to "1m".
    -- script_start = "1s",
    -- For loading them anew while the gateway serves; "10ms" to "1m".
    -- script_reload = "80ms",
    -- For what an older generation of a script began to come to its end; "0ms" to "1d".
    -- script_grace = "1m",
    -- Percent of a new generation's tasks that may raise, else the one before comes back; 100: it never does; 1 to 100.
    -- script_rollback = 50,
    -- How long after a reload that is looked at; "100ms" to "1d".
    -- script_rollback_time = "30s",
    -- That a script publishes in one turn of the loop; then it reads limit; "64K" to "1G".
    -- script_publish_bytes = "16M",
    -- Of what it publishes in one turn, for members to get; 100 to 100000000.
    -- script_publish_copies = 100000,
    -- Tasks of a site that run or wait; 1 to 1000000.
    -- script_tasks = 1000,
    -- Timers of a site; 1 to 1000000.
    -- script_timers = 256,
    -- Log lines of a site per second; 1 to 100000 or "off".
    -- script_log_rate = 20,

    -- ---- the store ----
    -- For Redis to answer; then what waits fails with unavailable; "100ms" to "1m".
    -- store_timeout = "2s",
    -- For a connection to Redis, with its login; "50ms" to "1m".
    -- redis_connect_timeout = "1s",
    -- Between heartbeats through Redis; three that do not come back end the connection; "100ms"
    -- to "1m".
    -- redis_heartbeat = "5s",
    -- Commands that wait for their answers; 16 to 10000000.
    -- redis_pending = 10000,
    -- Bytes of them; "64K" to "1G".
    -- redis_pending_bytes = "16M",
    -- Between tries to reconnect, at most; the first comes after a twentieth of it; "10ms" to "1m".
    -- redis_backoff = "2s",
    -- The addresses of a backend's name are kept, a failure to find them for 1s; 0 to "1h".
    -- dns_ttl = "30s",
    -- Names that are kept; the longest unused goes; 1 to 1000000.
    -- dns_names = 1000,
    -- Requests of a script to its backends that are under way; 1 to 100000.
    -- http_calls = 64,
    -- And that wait for their turn; 1 to 1000000.
    -- http_waiting = 256,
    -- For a connection to a backend, with its TLS; "10ms" to "1m".
    -- http_connect_timeout = "1s",
    -- For a backend to answer, with everything; a request may ask for less; "10ms" to "10m".
    -- http_timeout = "5s",
    -- A connection to a backend is kept for the next request; "100ms" to "10m".
    -- http_idle = "30s",
    -- Headers of a backend's answer; 512 to "1M".
    -- http_response_head = "16K",
    -- Body of a backend's answer; "1K" to "64M".
    -- http_response_body = "1M",
    -- Commands of a script that wait for Redis; 1 to 1000000.
    -- redis_calls = 256,

    -- ---- process ----
    -- From SIGTERM to the end, at most; "100ms" to "1h".
    -- drain_timeout = "30s",
    -- Sockets are closed evenly over this time; 0 to "1h".
    -- drain_spread = "10s",

    -- How far a site may raise a limit above the figures here; by default not at all.
    -- max = {},
  },

  -- More sites, by name, if they are not to have files of their own.
  -- sites = {},
}
