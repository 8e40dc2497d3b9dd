# The conformance plugin in Perl.
use v5.36;
use Riposte;
use MIME::Base64 qw(decode_base64);
use Riposte::Codec;
use Time::HiRes ();
use Time::Local qw(timegm_modern);

sub data ($p) { return defined $p->{base64} ? decode_base64($p->{base64}) : $p->{text} }

sub checksum ($bytes) {
    my $sum = 0;
    for (my $i = 0; $i < length $bytes; $i += 61) { $sum = ($sum * 31 + ord substr $bytes, $i, 1) & 0xFFFFFFFF }
    return $sum;
}

action echo => sub ($call, $p) { return $p };
action typed => { ip => 'string', port => 'integer' }, sub ($call, $p) { return $p };

action parse => sub ($call, $p) {
    my $value;
    eval { $value = Riposte::Codec::decode($p->{text}); 1 } or die fault(invalid => $@);
    return { value => $value };
};

action settings => sub ($call, $p) { return $call->settings };

action context => sub ($call, $p) {
    return { (map { $_ => $call->$_ } qw(action invocation incident run step now)), deadline_ms => $call->deadline };
};

action dice => sub ($call, $p) { return unpack 'H*', Riposte::random(16) };

action clock => sub ($call, $p) {
    my ($year, $month, $day, $h, $m, $s) = $call->now =~ /(\d+)/g;
    my ($since, $first) = (time - timegm_modern($s, $m, $h, $day, $month - 1, $year), Time::HiRes::time());
    return { since_now => $since >= 0 && $since < 1, goes_on => Time::HiRes::time() > $first };
};

my $calls = 0;
action count => sub ($call, $p) { return ++$calls };

action fetch => sub ($call, $p) {
    my $got = $call->http($p->{capability} // 'api')->request($p->{method}, $call->settings->{url} . $p->{path},
        headers => $p->{headers}, body => data($p), timeout => $p->{timeout_ms});
    return { status => $got->status, type => $got->header('Content-Type'), length => length $got->body, sum => checksum($got->body) };
};

action 'get-json' => sub ($call, $p) { return $call->http('api')->get($call->settings->{url} . $p->{path})->json({ name => 'string', age => 'integer' }) };

action 'post-json' => sub ($call, $p) {
    return $call->http('api')->post($call->settings->{url} . '/mirror', json => { text => $p->{text}, list => $p->{list} })->json;
};

action 'post-form' => sub ($call, $p) {
    my %headers = ('content-type' => 'application/x-www-form-urlencoded');
    return $call->http('api')->post($call->settings->{url} . '/mirror', body => $p->{fields}, headers => \%headers)->json;
};

action resolve => sub ($call, $p) { return $call->dns('names')->resolve($p->{name}, $p->{type}) };

action exchange => sub ($call, $p) {
    my ($bytes, $truncated) = $call->tcp('line')->exchange($p->{address} // $call->settings->{line}, data($p));
    return { length => length $bytes, sum => checksum($bytes), truncated => $truncated };
};

action query => sub ($call, $p) {
    my $got = $call->sql('inventory')->query($p->{statement}, ($p->{params} // {})->%*);
    return { columns => $got->{columns}, rows => $got->{rows}, truncated => !!$got->{truncated} };
};

action send => sub ($call, $p) { return $call->mail('relay')->send(%$p) };

action keep => sub ($call, $p) {
    my $store  = $call->kv;
    my $before = defined $store->get($p->{key});
    $store->put($p->{key}, { map { $_ => $p->{value}{$_} } qw(name count tags) }, $p->{ttl_s});
    my $found = $store->get($p->{key});
    $store->delete($p->{key});
    return { before => $before, value => $found, after => defined $store->get($p->{key}) };
};

action put => sub ($call, $p) {
    $call->kv->put($p->{key}, 'x' x $p->{bytes});
    return !!1;
};

action knock => sub ($call, $p) {
    $call->kv->get('door') for 1 .. $p->{times};
    return $p->{times};
};

action write => sub ($call, $p) {
    $call->log(debug => $p->{message});
    $call->info($p->{message});
    $call->warn($p->{message});
    $call->log(error => $p->{message}, text => $p->{message}, count => 3);
    return 4;
};

action emit => sub ($call, $p) {
    my @faults;
    for my $effect (
        sub { $call->artifact(ip => $p->{ip}, $p->{verdict}, $p->{note}) },
        sub { $call->evidence('dump.bin', 'application/octet-stream', decode_base64($p->{base64})) },
        sub { $call->finding($p->{sentence}, $p->{verdict}, $p->{note}) },
      )
    {
        eval { $effect->(); 1 } or push @faults, $@;
    }
    die $faults[0] if @faults;
    return !!1;
};

action fail => sub ($call, $p) {
    die fault($p->{kind}, $p->{message}, $p->{hint}, where => $p->{where}, retryable => $p->{retryable} // 0, retry_after => $p->{retry_after_ms});
};

action catch => sub ($call, $p) {
    eval { $call->http('api')->get($call->settings->{url} . $p->{path}); 1 } and die fault(failed => 'there was no fault');
    return { (map { $_ => $@->{$_} } qw(kind message hint where retryable)), retry_after_ms => $@->retry_after };
};

action crash => sub ($call, $p) {
    my $nothing;
    return $nothing->length;
};

sub deeper ($n) { return $n + deeper($n + 1) }
action recurse => sub ($call, $p) { return deeper(1) };

sub dig ($above) {
    my @here = ($above->[0] + 1);
    return $here[0] + dig(\@here);
}
action dig => sub ($call, $p) { return dig([1]) };

action devour => sub ($call, $p) {
    my @all;
    while () { push @all, 'x' x (1 << 20) }
};

action spin => sub ($call, $p) {
    while () { }
};

action flood => sub ($call, $p) { return 'x' x $p->{bytes} };
action lie   => sub ($call, $p) { return { score => 'high' } };

action check => sub ($call, $p) {
    $call->http('api')->get($call->settings->{url} . '/person')->expect;
    return !!1;
};

action describe => sub ($call, $p) { return { plugin => 'conformance' } };
