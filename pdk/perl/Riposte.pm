# The kit for Riposte plugins in Perl.
#
#   use v5.36;
#   use Riposte;
#
#   action lookup => sub ($call, $parameters) {
#       my $answer = $call->http('api')->get($call->settings->{base_url} . "/$parameters->{ip}");
#       return { score => $answer->json->{score} };
#   };
#
# An action is a function of the call and its parameters. What it returns is the result; a Fault that it dies with, die fault(…), is that of the action,
# and any other error a defect of the plugin, which is reported with file and line. Host functions are methods of the call; each dies with a Fault where
# the host refuses or fails. Natively there is no host: see Riposte::attempt.
#
# In JSON an object is a hash, null is undef, and true and false are Perl's own (!!1, !!0).
package Riposte;
use v5.36;
no warnings qw(experimental recursion);
use Exporter 'import';
use MIME::Base64 ();
use Riposte::Codec;
use Time::Local ();
our @EXPORT = qw(action fault);

my $sandboxed = defined &Riposte::Engine::call;

# Makes what is wrong, in the words that every part of Riposte has for it: the kind is invalid, refused, unauthorized, not_found, conflict, too_large,
# rate_limited, unavailable, timeout, cancelled, limit, failed or in_doubt; the hint says what a person can do. There may be where, a place; retry_after, in
# milliseconds; and retryable, which timeouts, rate limits and unavailability are without it.
sub fault ($kind, $message = '', $hint = undef, %more) {
    $more{retryable} //= $kind =~ /^(?:timeout|rate_limited|unavailable)$/;
    return bless { kind => $kind, message => $message, hint => $hint // '', where => $more{where} // '', retryable => !!$more{retryable},
        retry_after => $more{retry_after} // 0 }, 'Riposte::Fault';
}

package Riposte::Fault {
    use overload '""' => sub ($self, @) {
        return ($self->{where} && "$self->{where}: ") . "$self->{kind}: $self->{message}" . ($self->{hint} && " ($self->{hint})");
    };
    for my $name (qw(kind message hint where retryable retry_after)) {
        no strict 'refs';
        *$name = sub ($self) { return $self->{$name} };
    }
}

sub document_of ($error) {
    return undef unless $error isa Riposte::Fault;
    my %document = (kind => $error->{kind}, message => "$error->{message}");
    $error->{$_} ne '' and $document{$_} = "$error->{$_}" for qw(hint where);
    $document{retryable}      = !!1 if $error->{retryable};
    $document{retry_after_ms} = int $error->{retry_after} if $error->{retry_after} > 0;
    return \%document;
}

sub fault_of ($document) {
    return fault($document->@{qw(kind message hint)}, where => $document->{where}, retryable => $document->{retryable} // 0, retry_after => $document->{retry_after_ms});
}

sub written ($value, $what) { return eval { Riposte::Codec::encode($value) } // die fault(failed => "$what cannot be written as JSON: " . $@ =~ s/\n$//r) }

# bytes_in gives bytes as they are, and those of a text: what Perl marks as UTF-8, as all is that comes from JSON.
sub bytes_in ($data) {
    utf8::encode($data) if utf8::is_utf8($data);
    return $data;
}

sub payload ($data) {
    my $bytes = bytes_in($data);
    my $text  = $bytes;
    return utf8::decode($text) ? { text => $text } : { base64 => MIME::Base64::encode_base64($bytes, '') };
}

sub bytes_of ($payload) {
    return MIME::Base64::decode_base64($payload->{base64}) if defined $payload->{base64};
    my $bytes = $payload->{text} // '';
    utf8::encode($bytes);
    return $bytes;
}

sub kind_of ($value) {
    return 'nothing' if !defined $value;
    return { HASH => 'object', ARRAY => 'array' }->{ ref $value } // ref $value if ref $value;
    return 'boolean' if builtin::is_bool($value);
    return 'string'  if !builtin::created_as_number($value);
    return $value == int $value ? 'integer' : 'number';
}

# fit holds a value against a shape, and gives as much of it as the shape names. A shape is 'string', 'number', 'integer', 'boolean', 'object', 'array' or
# 'any', with a ? behind it for what may be missing; [shape] for an array; or { name => shape } for an object.
sub fit ($shape, $value, $where) {
    my $found  = kind_of($value);
    my $expect = sub ($wanted) {
        return if $found eq $wanted || $found eq 'integer' && $wanted eq 'number';
        die fault(invalid => "found $found, expected $wanted", undef, where => $where);
    };
    if (ref $shape eq 'ARRAY') {
        $expect->('array');
        return [ map { fit($shape->[0], $value->[$_], "${where}[$_]") } 0 .. $#$value ];
    }
    if (ref $shape eq 'HASH') {
        $expect->('object');
        return { map { $_ => fit($shape->{$_}, $value->{$_}, "$where.$_") } sort keys %$shape };
    }
    return $value if $shape eq 'any';
    my $optional = $shape =~ s/\?$//;
    $expect->($shape) unless $optional && $found eq 'nothing';
    return $value;
}

# The answer to an HTTP request. Any status is an answer. body holds its bytes.
package Riposte::Response {
    for my $name (qw(status body)) {
        no strict 'refs';
        *$name = sub ($self) { return $self->{$name} };
    }

    # Gives a header by its name in any case, '' if it is not there; several values are joined by ", ".
    sub header ($self, $name) { return $self->{headers}{ lc $name } // '' }

    # Checks for a status of 2xx and decodes the body, which may be held against a shape.
    sub json ($self, $shape = 'any') {
        $self->expect;
        my ($value, $text) = (undef, $self->{body});
        return $value if eval {
            utf8::decode($text) or die "the body is not UTF-8\n";
            $value = Riposte::fit($shape, Riposte::Codec::decode($text), '$');
            1;
        };
        my $found = $@ isa Riposte::Fault ? "$@->{where}: $@->{message}" : $@ =~ s/\n$//r;
        die Riposte::fault(unavailable => "the other side answered something else than the expected JSON: $found", "check the address in the connector's settings");
    }

    my %kinds = (401 => 'unauthorized', 403 => 'unauthorized', 404 => 'not_found', 408 => 'timeout', 409 => 'conflict', 413 => 'too_large', 429 => 'rate_limited');

    # Dies with the Fault that the status stands for unless it is one of those given, or 2xx if none is given.
    sub expect ($self, @wanted) {
        my $status = $self->{status};
        return $self if @wanted ? grep { $_ == $status } @wanted : $status >= 200 && $status < 300;
        my $kind = $kinds{$status} // ($status >= 500 ? 'unavailable' : 'failed');
        my $hint = $kind eq 'unauthorized' ? "check the credentials in the connector's settings, and what they are allowed to do" : undef;
        die Riposte::fault($kind => "the other side answered $status" . excerpt($self->{body}), $hint, retry_after => $self->retry_after);
    }

    my $sequence = qr/[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}
        |\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}/x;

    # text_in gives the text of the first bytes of so many, without what is not UTF-8.
    sub text_in ($bytes, $most) {
        my $text = join '', substr($bytes, 0, $most) =~ /$sequence/g;
        utf8::decode($text);
        return $text;
    }

    # excerpt is the beginning of a body, for a person to read.
    sub excerpt ($body) {
        my $text = text_in($body, 800) =~ s/\s+/ /gr =~ s/^ //r =~ s/ $//r;
        utf8::encode(my $bytes = $text);
        $text = text_in($bytes, 200) . " \x{2026}" if length $bytes > 200;
        return $text eq '' ? '' : ": $text";
    }

    my %months;
    @months{qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)} = 0 .. 11;

    # http_date reads a time such as Fri, 02 Jan 2026 03:04:05 GMT (RFC 9110 section 5.6.7).
    sub http_date ($text) {
        my ($day, $month, $year, $h, $m, $s) = $text =~ /^[A-Za-z]{3}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/ or return undef;
        return eval { Time::Local::timegm_modern($s, $m, $h, $day, $months{$month} // die, $year) };
    }

    # Gives the wait in milliseconds that Retry-After asks for (RFC 9110 section 10.2.3); 0 if there is none.
    sub retry_after ($self) {
        my $value = $self->header('retry-after');
        return $value * 1000 if $value =~ /^[0-9]+$/;
        my $to = http_date($value) // return 0;
        my ($year, $month, $day, $h, $m, $s) = $self->{now} =~ /(\d+)/g;
        my $wait = $to - (http_date($self->header('date')) // Time::Local::timegm_modern($s, $m, $h, $day, $month - 1, $year));
        return $wait > 0 ? $wait * 1000 : 0;
    }
}

# What holds one capability of a call.
package Riposte::HTTP {

    # Sends a request. Among the options may be headers; body, or json, a value that is written as JSON; and timeout in milliseconds.
    sub request ($self, $method, $url, %options) {
        my ($headers, $body) = @options{qw(headers body)};
        if (exists $options{json}) {
            $body    = Riposte::written($options{json}, 'the body');
            $headers = { 'content-type' => 'application/json', accept => 'application/json', %{ $headers // {} } };
            utf8::encode($body);
        }
        my $value = $self->{call}->ask('http.fetch', capability => $self->{capability}, method => $method, url => $url, headers => $headers,
            body => defined $body ? Riposte::payload($body) : undef, timeout_ms => $options{timeout});
        return bless { status => $value->{status} // 0, headers => $value->{headers} // {}, body => Riposte::bytes_of($value->{body} // {}),
            now => $self->{call}{now} }, 'Riposte::Response';
    }

    sub get ($self, $url, %options)    { return $self->request(GET    => $url, %options) }
    sub post ($self, $url, %options)   { return $self->request(POST   => $url, %options) }
    sub put ($self, $url, %options)    { return $self->request(PUT    => $url, %options) }
    sub delete ($self, $url, %options) { return $self->request(DELETE => $url, %options) }
}

package Riposte::DNS {

    # Gives { rcode, records => [{ name, type, ttl, value }] }. NXDOMAIN is an answer; for PTR an address is taken too.
    sub resolve ($self, $name, $type) {
        my $value = $self->{call}->ask('dns.resolve', capability => $self->{capability}, name => $name, type => $type);
        $value->{records} //= [];
        return $value;
    }
}

package Riposte::TCP {

    # Connects to host:port, sends, and reads until the other side closes. It gives what came, and whether there was more than is allowed.
    sub exchange ($self, $address, $send, %options) {
        my $value = $self->{call}->ask('tcp.exchange', capability => $self->{capability}, address => $address, send => Riposte::payload($send),
            max_bytes => $options{max_bytes}, timeout_ms => $options{timeout});
        return (Riposte::bytes_of($value->{received} // {}), !!$value->{truncated});
    }
}

package Riposte::SQL {

    # Runs a statement of the manifest or of the connector's settings, by name: { columns, rows, affected, truncated }.
    sub query ($self, $statement, %params) {
        return $self->{call}->ask('sql.query', capability => $self->{capability}, statement => $statement, params => %params ? \%params : undef);
    }
}

package Riposte::Mail {

    # Sends a message of to, cc, subject, text, html, and gives the Message-ID.
    sub send ($self, %message) {
        return $self->{call}->ask('mail.send', capability => $self->{capability}, map { $_ => $message{$_} } qw(to cc subject text html))->{message_id};
    }
}

# The connector's own store; the plugin must require the kind kv.
package Riposte::KV {

    # Gives what is kept under a key, or else the second argument.
    sub get ($self, $key, $otherwise = undef) {
        my $answer = $self->{call}->ask('kv.get', key => $key);
        return $answer->{found} ? $answer->{value} : $otherwise;
    }

    # Keeps a value that can be JSON, for so many seconds or, without them, for good.
    sub put ($self, $key, $value, $ttl = undef) { $self->{call}->ask('kv.put', key => $key, value => $value, ttl_s => $ttl); return }

    # Removes a key, whether it is there or not.
    sub delete ($self, $key) { $self->{call}->ask('kv.delete', key => $key); return }
}

# One invocation of an action: settings, without the secrets; action, invocation, incident, run and step; deadline, in milliseconds; now, as RFC 3339, which
# stands still; and the way to the host functions.
package Riposte::Call {
    for my $name (qw(action settings invocation incident run step deadline now)) {
        no strict 'refs';
        *$name = sub ($self) { return $self->{$name} };
    }

    sub new ($class, $document, $exchange) {
        my $context = $document->{context} // {};
        return bless { action => $document->{action}, settings => $document->{settings} // {}, deadline => $context->{deadline_ms} // 0, exchange => $exchange,
            now => $context->{now} // '2026-01-02T03:04:05Z', map { $_ => $context->{$_} // '' } qw(invocation incident run step) }, $class;
    }

    # Asks the host; the doors below are the better way. What is undef is left out of the request, but for a value.
    sub ask ($self, $fn, %request) {
        defined $request{$_} || $_ eq 'value' or delete $request{$_} for keys %request;
        my $reply = Riposte::Codec::decode($self->{exchange}->($fn, Riposte::written(\%request, "$fn: the request")));
        die Riposte::fault_of($reply->{fault}) if $reply->{fault};
        return $reply->{value} // {};
    }

    my %doors = (http => 'Riposte::HTTP', dns => 'Riposte::DNS', tcp => 'Riposte::TCP', sql => 'Riposte::SQL', mail => 'Riposte::Mail', kv => 'Riposte::KV');
    for my $name (keys %doors) {
        no strict 'refs';
        *$name = sub ($self, $capability = '') { return bless { call => $self, capability => $capability }, $doors{$name} };
    }

    # Writes a line for people; the level is debug, info, warn or error. A line that a quota refuses is lost.
    sub log ($self, $level, $message, %fields) {
        eval { $self->ask('log.write', level => $level, message => "$message", fields => %fields ? \%fields : undef); 1 } or $@ isa Riposte::Fault or die $@;
        return;
    }

    sub info ($self, $message, %fields) { $self->log(info => $message, %fields); return }
    sub warn ($self, $message, %fields) { $self->log(warn => $message, %fields); return }

    # Gives the incident a value to act on: the kind is ip, domain, url, hash, user, host …; the verdict benign, suspicious, malicious or unknown.
    sub artifact ($self, $kind, $value, $verdict = undef, $note = undef) {
        $self->ask('emit.artifact', kind => $kind, value => $value, verdict => $verdict, note => $note);
        return;
    }

    # Gives the incident a file.
    sub evidence ($self, $name, $media_type, $data) {
        $self->ask('emit.evidence', name => $name, kind => $media_type, data => MIME::Base64::encode_base64(Riposte::bytes_in($data), ''));
        return;
    }

    # Gives the incident a sentence.
    sub finding ($self, $sentence, $verdict = undef, $note = undef) {
        $self->ask('emit.finding', value => $sentence, verdict => $verdict, note => $note);
        return;
    }
}

my %actions;

# Makes a function the action of this name. Between the two may stand a shape that the parameters must have.
sub action ($name, @rest) {
    my $handler = pop @rest;
    $actions{$name} = { handler => $handler, shape => $rest[0] // 'any' };
    return;
}

my $current;    # the call whose log print writes to

sub perform ($document, $exchange) {
    my $name  = $document->{action};
    my $known = $actions{$name} // die fault(not_found => "the plugin has no action $name", "name it: action '$name' => sub {}");
    $current = Riposte::Call->new($document, $exchange);
    return scalar $known->{handler}->($current, fit($known->{shape}, $document->{parameters} // {}, '$.parameters'));
}

# Gives so many random bytes. In the sandbox they are those of the tape.
sub random ($count) {
    return Riposte::Engine::bytes($count) if $sandboxed;
    open my $file, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
    read $file, (my $bytes), $count;
    return $bytes;
}

# Gives the bytes of a file of the package.
sub asset ($name) {
    no warnings 'once';
    return $Riposte::Engine::files{$name} // die fault(not_found => "there is no file $name in the package") if $sandboxed;
    open my $file, '<:raw', $name or die "$name: $!";
    local $/;
    return scalar <$file>;
}

# Calls an action in a plugin's own unit test, without a sandbox; parameters and result go through JSON as they do in production. The stub answers the host
# calls: it gets the name of the function, such as 'http.fetch', and the request, and returns the value or dies with a Fault. Without it each of them is
# refused. The time of the call is 2026-01-02 03:04:05 UTC.
sub attempt ($name, $parameters = {}, $settings = {}, $stub = undef) {
    $stub //= sub ($fn, $) { die fault(refused => "$fn is not stubbed", 'give attempt a stub') };
    my $exchange = sub ($fn, $request) {
        my $value;
        return written({ value => $value }, 'the value of the stub') if eval { $value = $stub->($fn, Riposte::Codec::decode($request)); 1 };
        return written({ fault => document_of($@) // die $@ }, 'the fault');
    };
    my $document = { action => $name, parameters => $parameters, settings => $settings, context => { invocation => 'attempt', deadline_ms => 30000 } };
    return Riposte::Codec::decode(written(perform(Riposte::Codec::decode(written($document, 'the call')), $exchange), 'the result'));
}

if ($sandboxed) {
    no warnings 'once';
    $Riposte::Engine::fault   = \&document_of;
    $Riposte::Engine::actions = sub { sort keys %actions };
    $Riposte::Engine::act     = sub ($input) { '{"output":' . written(perform(Riposte::Codec::decode($input), \&Riposte::Engine::call), 'the result') . '}' };
    tie *STDOUT, 'Riposte::Lines';
}

# What is printed is a line for people.
package Riposte::Lines {
    sub TIEHANDLE ($class) { return bless [], $class }
    sub PRINT ($self, @texts) { $current->info(join($, // '', @texts) =~ s/\n$//r) if $current; return 1 }
    sub PRINTF ($self, $format, @values) { return $self->PRINT(sprintf $format, @values) }
}

1;
