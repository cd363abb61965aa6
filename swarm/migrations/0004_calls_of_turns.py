from django.db import migrations


def enter_calls(apps, _schema_editor):
    """Enter the calls that were answered before there were rows of them, so that budgets and sums hold for these too."""
    call = apps.get_model("swarm", "Call")
    turns = apps.get_model("swarm", "Turn").objects.order_by("id")
    columns = (
        "node_id", "attempt", "number", "queued_s", "upstream_s", "prompt_tokens", "completion_tokens", "created_at"
    )  # fmt: skip
    call.objects.bulk_create(
        (
            call(
                started_at=turn.pop("created_at"),
                charged_tokens=turn["prompt_tokens"] + turn["completion_tokens"],
                outcome="ok",
                **turn,
            )
            for turn in turns.values(*columns).iterator()
        ),
        batch_size=500,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0003_call"),
    ]

    operations = [
        migrations.RunPython(enter_calls, migrations.RunPython.noop),
    ]
