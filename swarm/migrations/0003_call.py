import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0002_node_plan"),
    ]

    operations = [
        migrations.CreateModel(
            name="Call",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("attempt", models.PositiveIntegerField()),
                ("number", models.PositiveIntegerField(help_text="the turn that it was made for")),
                ("model", models.CharField(max_length=200)),
                ("started_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("queued_s", models.FloatField(default=0.0)),
                ("upstream_s", models.FloatField(default=0.0)),
                ("prompt_tokens", models.PositiveIntegerField(default=0)),
                ("completion_tokens", models.PositiveIntegerField(default=0)),
                (
                    "charged_tokens",
                    models.PositiveBigIntegerField(
                        default=0,
                        help_text="what counts against the token budget: reserved while in flight, then what was used",
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        db_index=True,
                        default="in_flight",
                        help_text="in_flight, ok, or the code of the error",
                        max_length=64,
                    ),
                ),
                ("retries", models.PositiveIntegerField(default=0)),
                ("rate_limited_count", models.PositiveIntegerField(default=0)),
                ("cost", models.DecimalField(decimal_places=8, max_digits=20, null=True)),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="call_rows", to="swarm.node"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.AddField(
            model_name="node",
            name="cost",
            field=models.DecimalField(
                decimal_places=8, help_text="None while no price is known", max_digits=20, null=True
            ),
        ),
    ]
