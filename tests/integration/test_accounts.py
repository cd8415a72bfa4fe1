"""What the federation shares with its members is what this version shares, on an older bus too."""

from pathlib import Path

from fedbus.pki import jwt
from fedbus.pki.keyring import Keyring
from fedbus.pki.roles import SHARES
from tests.support.daemons import Daemon, apply, eventually, group, joined, promoted, synced


async def test_an_earlier_versions_shares_are_replaced_and_the_same_ones_left_alone(tmp_path: Path) -> None:
    async with (
        Daemon("master", tmp_path / "master", checkpoint_interval=0.5) as master,
        Daemon("worker", tmp_path / "a") as worker,
    ):
        await promoted(master)
        await joined(master, worker, "a")
        keyring = Keyring.load(master.directory / "keyring")
        file = master.directory / "bus" / "jwt" / f"{keyring.account}.jwt"
        # as preloaded: a push, even of the same, would end every pull that waits
        assert jwt.decode_claims(file.read_text())["iat"] == 1

        await master.stop()
        file.write_text(
            jwt.account(
                name=keyring.federation_id,
                public_key=keyring.account,
                signer=keyring._operator_signing,
                now=2,
                scopes=keyring._scopes_of(["master"]),
                jetstream=True,
                exports=SHARES[1:],
            )
        )
        await master.start()

        async def shared() -> bool:
            return jwt.same_claims(file.read_text(), keyring.account_jwt(now=0))

        await eventually(shared)
        await apply(master, group("through-the-new-ones"))
        await synced(master, 1)
