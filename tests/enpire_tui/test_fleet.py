import pytest

from enpire_tui.fleet import FleetError, agent_name, demo_fleet, read_fleet, seconds, write_fleet

STATION = '[[station]]\nname = "s1"\n'


def refused(tmp_path, text: str) -> str:
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(FleetError) as caught:
        read_fleet(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        (STATION + "colour = 1\n", "station 's1': colour", "use one of name, task"),
        ("spped = 1\n" + STATION, "spped", "unknown key"),
        ("[[station]]\nname = 3\n", "station number 1: name", "expected `str`"),
        ("[[station]]\n", "station number 1: name", "is missing"),
        (STATION + STATION, "station 's1': name", "there twice"),
        ('[[station]]\nname = "supervisor"\n', "name", "choose another"),
        ('[[station]]\nname = "S 1"\n', "name", "use a-z"),
        ("[[station]]\nname = 's2'\nclock = 'sundial'\n", "clock", "lockstep, realtime"),
        ("[[station]]\nname = 's2'\nagent = 'gpt'\n", "agent", "use one of search"),
        ("[[station]]\nname = 's2'\nhost = 'box'\n", "host", "add [hosts.box]"),
        ('[budget]\ntime = "15 mins"\n' + STATION, "budget.time", "use s, min or h"),
        ('[budget]\ntime = "15"\n' + STATION, "budget.time", "missing unit"),
        ('[budget]\ntime = "soon"\n' + STATION, "budget.time", "write a number and a unit"),
        ('[budget]\ntime = "0 s"\n' + STATION, "budget.time", "nothing"),
        ("[budget]\nideas = -1\n" + STATION, "budget.ideas", "0 for no bound"),
        ("[budget]\ntimee = 1\n" + STATION, "budget.timee", "use one of time"),
        ("", "station", "add a [[station]]"),
        ("station = 3\n", "station", "write [[station]]"),
        ("hosts = 3\n" + STATION, "hosts", "[hosts.NAME]"),
        ("[hosts.a]\naddress = 'h'\n" + STATION, "hosts.a: known_hosts", "is missing"),
        (
            "[hosts.a]\naddress='h'\nknown_hosts='/none'\nhome='/h'\n" + STATION,
            "hosts.a.known_hosts",
            "ssh-keyscan",
        ),
        (
            "[hosts.a]\naddress='h'\nknown_hosts='/none'\nhome='~/h'\n" + STATION,
            "hosts.a.home",
            "absolute",
        ),
        (
            "[hosts.a]\naddress='h'\nknown_hosts='/none'\nhome='/h'\nport=0\n" + STATION,
            "hosts.a.port",
            "1 to 65535",
        ),
        ("[people]\nann = 'xyz'\n" + STATION, "people.ann", "64 hexadecimal"),
        ("name = \n", "not TOML", "correct that line"),
    ],
)
def test_a_wrong_file_is_refused_by_key_and_remedy(tmp_path, text, key, remedy):
    message = refused(tmp_path, text)
    assert key in message
    assert remedy in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FleetError, match=r"none\.toml.*--fleet"):
        read_fleet(tmp_path / "none.toml")


def test_the_resolved_file_reads_back_as_the_same_fleet(tmp_path):
    fleet = demo_fleet(3)
    write_fleet(fleet, tmp_path / "fleet.toml")
    again = read_fleet(tmp_path / "fleet.toml")
    assert [each.name for each in again.station] == ["s1", "s2", "s3"]
    assert [each.seed for each in again.station] == [1, 2, 3]
    assert again.minutes == fleet.minutes == 15.0


def test_the_demo_fleet_is_simulated_and_bounded():
    assert demo_fleet().simulated
    with pytest.raises(FleetError, match="between 1 and 64"):
        demo_fleet(65)


@pytest.mark.parametrize(("station", "agent"), [("s1", "a1"), ("s12", "a12"), ("arm", "agent-arm")])
def test_agents_are_named_after_their_stations(station, agent):
    assert agent_name(station) == agent


@pytest.mark.parametrize(("text", "found"), [("15 min", 900), ("90s", 90), ("1.5 h", 5400)])
def test_durations_carry_their_unit(text, found):
    assert seconds(text, "key") == found


def test_an_installed_backend_may_be_named(tmp_path, monkeypatch):
    path = tmp_path / "lab.toml"
    path.write_text('[agent]\nbackend = "asking"\n' + STATION)
    assert "asking" in refused(tmp_path, path.read_text())
    info = tmp_path / "site" / "asking-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asking\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[enpire.backends]\nasking = asking:Asking\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert read_fleet(path).agent.backend == "asking"


def test_a_fleet_of_language_models_gets_a_gateway_with_a_slice_each(tmp_path):
    from agents.gateway.settings import load_settings
    from enpire_tui.provision import provision

    path = tmp_path / "lab.toml"
    path.write_text(
        '[[station]]\nname = "s1"\n[[station]]\nname = "s2"\nagent = "none"\n'
        '[[station]]\nname = "s3"\nagent = "openai"\n[agent]\nbackend = "anthropic"\n'
        'model = "some-model"\n[budget]\ntokens = 5000\n'
        '[providers.anthropic]\nbase_url = "http://127.0.0.1:9"\nkey_file = "/nowhere/key"\n'
    )
    provision(read_fleet(path), tmp_path / "home")
    found = load_settings(tmp_path / "home" / "gateway" / "gateway.toml")

    assert found.providers["anthropic"].base_url == "http://127.0.0.1:9"
    assert found.providers["openai"].key_env == "OPENAI_API_KEY"
    assert {name: each.budget_tokens for name, each in found.agents.items()} == {
        "a1": 2500, "a3": 2500
    }  # fmt: skip
    told = (tmp_path / "home" / "agents" / "a1" / "agent.toml").read_text()
    assert 'model = "some-model"' in told


def test_a_fleet_of_command_line_agents_reaches_the_provider_of_their_program(tmp_path):
    from agents.gateway.settings import load_settings
    from agents.settings import load_settings as agent_settings
    from enpire_tui.provision import provision

    path = tmp_path / "lab.toml"
    text = '[[station]]\nname = "s1"\n[agent]\nbackend = "acp"\nprogram = "{}"\n'
    path.write_text(text.format("codex"))
    provision(read_fleet(path), tmp_path / "home")
    found = load_settings(tmp_path / "home" / "gateway" / "gateway.toml")

    assert list(found.providers) == ["openai"]
    assert agent_settings(tmp_path / "home", "a1").program == "codex"
    assert agent_settings(tmp_path / "home", "a1").sees is None
    path.write_text(text.format("cat"))
    with pytest.raises(FleetError, match=r"agent\.program: 'cat' is unknown.*claude-code, codex"):
        read_fleet(path)


def test_arxiv_is_a_word_of_the_run_file_and_off_without_it(tmp_path):
    from agents.gateway.settings import load_settings
    from agents.settings import load_settings as agent_settings
    from enpire_tui.provision import provision

    path, home = tmp_path / "lab.toml", tmp_path / "home"
    text = STATION + '[agent]\nbackend = "anthropic"\n'
    path.write_text(text)
    provision(read_fleet(path), home)
    off = load_settings(home / "gateway" / "gateway.toml").arxiv
    assert (off.enabled, off.base_url) == (False, "https://export.arxiv.org")
    assert agent_settings(home, "a1").literature == ""
    (tmp_path / "papers").mkdir()
    path.write_text(
        text
        + f'[literature]\narxiv = true\narxiv_url = "http://mirror"\nfolder = "{tmp_path}/papers"\n'
    )
    provision(read_fleet(path), home)

    on = load_settings(home / "gateway" / "gateway.toml").arxiv
    assert (on.enabled, on.base_url) == (True, "http://mirror")
    assert agent_settings(home, "a1").literature == str(tmp_path / "papers")
    write_fleet(read_fleet(path), tmp_path / "again.toml")
    assert read_fleet(tmp_path / "again.toml").literature == read_fleet(path).literature
    words = refused(tmp_path, '[literature]\narxiv_url = "arxiv.org"\n' + STATION)
    assert "literature.arxiv_url: 'arxiv.org' is no address; give http(s)://host" in words
    assert "use one of folder, arxiv" in refused(tmp_path, "[literature]\nnet = true\n" + STATION)
    words = refused(tmp_path, '[literature]\nfolder = "/nowhere"\n' + STATION)
    assert "literature.folder: '/nowhere' is no folder" in words


@pytest.mark.parametrize("sees", [True, False])
def test_whether_a_model_sees_reaches_its_agent_and_the_resolved_file(tmp_path, sees):
    from agents.settings import load_settings as agent_settings
    from enpire_tui.provision import provision

    path, word = tmp_path / "lab.toml", str(sees).lower()
    text = f'[[station]]\nname = "s1"\n[agent]\nbackend = "anthropic"\nsees = {word}\n'
    path.write_text(text)
    provision(read_fleet(path), tmp_path / "home")

    assert agent_settings(tmp_path / "home", "a1").sees is sees
    assert read_fleet(tmp_path / "home" / "fleet.toml").agent.sees is sees


def test_an_unknown_provider_is_refused(tmp_path):
    assert "providers.parrot" in refused(tmp_path, "[providers.parrot]\n" + STATION)


@pytest.mark.parametrize("key", ["requests_per_minute", "tokens_per_minute"])
def test_a_limit_below_nothing_is_refused_before_a_gateway_reads_it(tmp_path, key):
    words = refused(tmp_path, f"[providers.anthropic]\n{key} = -1\n" + STATION)
    assert f"providers.anthropic.{key}" in words
    assert "0 is no limit" in words
