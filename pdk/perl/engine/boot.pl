# What the engine does before and around the scripts of a package; engine.c calls load once and run for each action, and has the functions that are only
# declared here. The kit, Riposte.pm, is one of the scripts; it puts into $act what runs one action, into $actions what lists their names, and into
# $fault what gives the document of an error that is a fault.
package Riposte::Engine;

use v5.36;
use MIME::Base64 ();
our (%files, $act, $actions, $fault, @stack);
my ($seeded, $left) = (0, '');    # whether this call has numbers of its own, and bytes that the host gave and nobody took

sub own ($file) { return exists $files{$file} && $file !~ m{^Riposte(?:/Codec)?\.pm$} }

# Lists where the author's functions are that have been called, innermost first: "plugin.pl:12 in main::look_up"; at most fifty.
sub places () {
    my (@frames, @found);
    for (my $level = 1; my (undef, $file, $line, $function) = caller $level; $level++) {
        push @frames, [ "$file:$line", $function, own($file) ] if @frames == 0 || $function ne '(eval)';
    }
    for my $i (grep { $frames[$_][2] } 0 .. $#frames) {
        push @found, "$frames[$i][0] in " . ($i < $#frames ? $frames[ $i + 1 ][1] : 'main');
        last if @found == 50;
    }
    return @found;
}

# Makes the result of a script that ended with an error which is no Fault of the kit.
sub crash ($kind, $error) {
    my $message = "$error";
    my ($where) = grep { own(s/:\d+$//r) } map { s/ line /:/r } $message =~ / at (\S+ line \d+)/g;
    $where //= $stack[0] && $stack[0] =~ s/ in .*//r;
    $message =~ s/ at \S+ line \d+(?:, <.*> \w+ \d+)?(?:\.?\n.*)?//s;
    $message =~ s/\n(?:Execution of |BEGIN failed).*//s;
    chomp $message;
    return { fault => { kind => $kind, message => $message, $where ? (where => $where) : () }, @stack ? (stack => [@stack]) : () };
}

# Gives what a function gives, a text, or the result of its failure.
sub try ($kind, $function) {
    local $SIG{__DIE__} = sub { @stack = places() };
    @stack = ();
    my $result = eval { $function->() };
    return output($result) if defined $result;
    my $document = $fault && $fault->($@);
    output(Riposte::Engine::Codec::encode($document ? { fault => $document } : crash($kind, $@)));
}

sub load () {
    try('invalid', sub {
        my $scripts = Riposte::Engine::Codec::decode(input());
        while (my ($name, $file) = each $scripts->{files}->%*) {
            $files{$name} = exists $file->{base64} ? MIME::Base64::decode_base64($file->{base64}) : $file->{text} // '';
            utf8::encode($files{$name}) if !exists $file->{base64};
        }
        my $entry = $scripts->{entry};
        do $entry;
        if ($@) {
            local $SIG{__DIE__};    # which has been called for this error
            die $@;
        }
        return Riposte::Engine::Codec::encode({ output => { actions => [ $actions->() ] } }) if $act;
        return Riposte::Engine::Codec::encode({ fault => { kind => 'invalid', message => "$entry does not use the kit", hint => 'begin it with: use Riposte;', where => $entry } });
    });
}

sub run () {
    ($seeded, $left) = (0, '');
    try('trap', sub { $act->(input()) });
}

# Gives so many bytes of the host, which are those of the tape. rand begins with some, at the first number that a call draws.
sub bytes ($count) {
    $left .= pack 'H*', entropy() while length $left < $count;
    return substr $left, 0, $count, '';
}

BEGIN {
    no warnings 'once';
    *CORE::GLOBAL::srand = sub :prototype(;$) ($seed = unpack 'N', bytes(4)) {
        $seeded = 1;
        return CORE::srand($seed);
    };
    *CORE::GLOBAL::rand = sub :prototype(;$) ($below = 1) {
        CORE::GLOBAL::srand() if !$seeded;
        return CORE::rand($below);
    };
    $List::Util::RAND = sub { CORE::GLOBAL::rand() };
}

eval codec() =~ s/^package Riposte::Codec;/package Riposte::Engine::Codec;/mr or die $@;

# Finds modules among the files of the package. Encode wants to see Storable, which is not there, and gets along without.
unshift @INC, sub ($self, $file) {
    my $text = exists $files{$file} ? \$files{$file} : $file eq 'Storable.pm' && (caller)[0] eq 'Encode' ? \'1;' : return;
    open my $handle, '<', $text or die "$file: $!\n";
    $INC{$file} = $file;
    return (\qq{package main;\n#line 1 "$file"\n}, $handle);
};
